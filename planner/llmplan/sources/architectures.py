"""Class of the published config.json by model_type, for copies that state none.

From the auto classes of transformers 5.23, vLLM 0.33.0's registry, and the repositories' own
config.json; read 2026-11-21.
"""

ARCHITECTURES = dict(
    pair.split("=")
    for pair in """
    afmoe=AfmoeForCausalLM apertus=ApertusForCausalLM aquila=AquilaForCausalLM
    arcee=ArceeForCausalLM arctic=ArcticForCausalLM baichuan=BaichuanForCausalLM
    bailing_hybrid=BailingMoeV3ForCausalLM bailing_moe=BailingMoeForCausalLM
    bailing_moe_v2=BailingMoeV2ForCausalLM bert=BertModel bloom=BloomForCausalLM
    camembert=CamembertForCausalLM chatglm=ChatGLMModel codegen=MossForCausalLM
    cohere=CohereForCausalLM cohere2=Cohere2ForCausalLM cpmbee=CpmBeeForCausalLM
    dbrx=DbrxForCausalLM deepseek=DeepseekForCausalLM deepseek_v2=DeepseekV2ForCausalLM
    deepseek_v3=DeepseekV3ForCausalLM deepseek_v32=DeepseekV32ForCausalLM
    deepseek_v4=DeepseekV4ForCausalLM dots1=Dots1ForCausalLM ernie4_5=Ernie4_5ForCausalLM
    ernie4_5_moe=Ernie4_5_MoeForCausalLM exaone4=Exaone4ForCausalLM
    exaone_moe=ExaoneMoeForCausalLM falcon=FalconForCausalLM falcon_h1=FalconH1ForCausalLM
    falcon_mamba=FalconMambaForCausalLM gemma=GemmaForCausalLM gemma2=Gemma2ForCausalLM
    gemma3=Gemma3ForConditionalGeneration gemma3_text=Gemma3ForCausalLM
    gemma3n=Gemma3nForConditionalGeneration gemma3n_text=Gemma3nForCausalLM
    gemma4=Gemma4ForConditionalGeneration gemma4_text=Gemma4ForCausalLM
    gemma4_unified=Gemma4UnifiedForConditionalGeneration glm=GlmForCausalLM glm130b=GLM130B
    glm4=Glm4ForCausalLM glm4_moe=Glm4MoeForCausalLM glm4_moe_lite=Glm4MoeLiteForCausalLM
    glm4v=Glm4vForConditionalGeneration glm4v_moe=Glm4vMoeForConditionalGeneration
    glm5_next=Glm5NextForConditionalGeneration glm_moe_dsa=GlmMoeDsaForCausalLM
    gpt2=GPT2LMHeadModel gpt_bigcode=GPTBigCodeForCausalLM gpt_neox=GPTNeoXForCausalLM
    gpt_oss=GptOssForCausalLM gptj=GPTJForCausalLM granite=GraniteForCausalLM
    granitemoe=GraniteMoeForCausalLM granitemoehybrid=GraniteMoeHybridForCausalLM
    granitemoeshared=GraniteMoeSharedForCausalLM grok-1=Grok1ForCausalLM
    hunyuan_v1_dense=HunYuanDenseV1ForCausalLM hunyuan_v1_moe=HunYuanMoEV1ForCausalLM
    hy_v3=HYV3ForCausalLM idefics3=Idefics3ForConditionalGeneration
    internlm=InternLMForCausalLM internlm2=InternLM2ForCausalLM internlm3=LlamaForCausalLM
    internvl_chat=InternVLChatModel jamba=JambaForCausalLM kimi_k2=DeepseekV3ForCausalLM
    kimi_k25=KimiK25ForConditionalGeneration kimi_k3=KimiK3ForConditionalGeneration
    kimi_linear=KimiLinearForCausalLM kimi_vl=KimiVLForConditionalGeneration
    laguna=LagunaForCausalLM lfm2=Lfm2ForCausalLM lfm2_moe=Lfm2MoeForCausalLM
    llama=LlamaForCausalLM llama4=Llama4ForConditionalGeneration
    llava=LlavaForConditionalGeneration llava_next=LlavaNextForConditionalGeneration
    llava_onevision=LlavaOnevisionForConditionalGeneration mamba=MambaForCausalLM
    mimo=MiMoForCausalLM mimo_v2_flash=MiMoV2FlashForCausalLM minicpm=MiniCPMForCausalLM
    minicpm3=MiniCPM3ForCausalLM minicpmv=MiniCPMV minimax=MiniMaxM1ForCausalLM
    minimax_m2=MiniMaxM2ForCausalLM minimax_m3=MiniMaxM3SparseForConditionalGeneration
    minimax_m3_vl=MiniMaxM3SparseForConditionalGeneration
    minimax_m3_vl_text=MiniMaxM3VLForCausalLM ministral3=Ministral3ForCausalLM
    mistral=MistralForCausalLM mistral3=Mistral3ForConditionalGeneration
    mistral4=Mistral4ForCausalLM mixtral=MixtralForCausalLM
    mllama=MllamaForConditionalGeneration modernbert=ModernBertModel mpnet=MPNetModel
    mpt=MPTForCausalLM mt5=MT5ForConditionalGeneration
    muse_glimmer=MuseGlimmerForConditionalGeneration nemotron=NemotronForCausalLM
    nemotron-nas=DeciLMForCausalLM nemotron_h=NemotronHForCausalLM nomic_bert=NomicBertModel
    nvembed=NVEmbedModel olmo=OlmoForCausalLM olmo2=Olmo2ForCausalLM olmo3=Olmo3ForCausalLM
    olmoe=OlmoeForCausalLM opt=OPTForCausalLM orion=OrionForCausalLM
    persimmon=PersimmonForCausalLM phi=PhiForCausalLM phi3=Phi3ForCausalLM
    phi3small=Phi3SmallForCausalLM phi4mm=Phi4MMForCausalLM phimoe=PhiMoEForCausalLM
    qwen=QWenLMHeadModel qwen2=Qwen2ForCausalLM qwen2_5_vl=Qwen2_5_VLForConditionalGeneration
    qwen2_moe=Qwen2MoeForCausalLM qwen2_vl=Qwen2VLForConditionalGeneration
    qwen3=Qwen3ForCausalLM qwen3_5=Qwen3_5ForConditionalGeneration
    qwen3_5_moe=Qwen3_5MoeForConditionalGeneration qwen3_5_moe_text=Qwen3_5MoeForCausalLM
    qwen3_5_text=Qwen3_5ForCausalLM qwen3_moe=Qwen3MoeForCausalLM
    qwen3_next=Qwen3NextForCausalLM qwen3_vl=Qwen3VLForConditionalGeneration
    qwen3_vl_moe=Qwen3VLMoeForConditionalGeneration qwen4_exp=Qwen4ExpForConditionalGeneration
    qwen4_exp_text=Qwen4ExpForCausalLM roberta=RobertaForCausalLM seed_oss=SeedOssForCausalLM
    smollm3=SmolLM3ForCausalLM smolvlm=SmolVLMForConditionalGeneration
    solar_open=SolarOpenForCausalLM stablelm=StableLmForCausalLM
    starcoder2=Starcoder2ForCausalLM step3p5=Step3p5ForCausalLM
    step3p7=Step3p7ForConditionalGeneration t5=T5ForConditionalGeneration
    umt5=UMT5ForConditionalGeneration whisper=WhisperForCausalLM xlm-roberta=XLMRobertaModel
    yuan=YuanForCausalLM
    """.split()
)
