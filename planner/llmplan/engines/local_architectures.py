"""What Transformers, MLX-LM and ExLlamaV3 load, by name."""

TRANSFORMERS = frozenset(
    """
    AXK1ForCausalLM AXK2ForCausalLM AfmoeForCausalLM ApertusForCausalLM ArceeForCausalLM
    AriaForConditionalGeneration AriaTextForCausalLM AudioFlamingo3ForConditionalGeneration
    AyaVisionForConditionalGeneration BailingHybridForCausalLM BambaForCausalLM BartForCausalLM
    BartForConditionalGeneration BeamForCausalLM BertGenerationDecoder BertLMHeadModel
    BigBirdForCausalLM BigBirdPegasusForCausalLM BigBirdPegasusForConditionalGeneration
    BioGptForCausalLM BitNetForCausalLM BlenderbotForCausalLM BlenderbotForConditionalGeneration
    BlenderbotSmallForCausalLM BlenderbotSmallForConditionalGeneration
    Blip2ForConditionalGeneration BlipForConditionalGeneration BloomForCausalLM BltForCausalLM
    CTRLLMHeadModel CamembertForCausalLM ChameleonForConditionalGeneration CodeGenForCausalLM
    Cohere2ForCausalLM Cohere2MoeForCausalLM Cohere2VisionForConditionalGeneration
    CohereCompassForCausalLM CohereCompassForConditionalGeneration CohereForCausalLM
    Cosmos3EdgeForConditionalGeneration Cosmos3OmniForConditionalGeneration CpmAntForCausalLM
    CwmForCausalLM Data2VecTextForCausalLM DbrxForCausalLM DeepseekOcr2ForConditionalGeneration
    DeepseekV2ForCausalLM DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekV4ForCausalLM
    DeepseekVLForConditionalGeneration DeepseekVLHybridForConditionalGeneration
    DiffLlamaForCausalLM DiffusionGemmaForBlockDiffusion DogeForCausalLM Dots1ForCausalLM
    Dots3NoteForCausalLM Dots3NoteForConditionalGeneration ElectraForCausalLM Emu3ForCausalLM
    Emu3ForConditionalGeneration EncoderDecoderModel Ernie4_5ForCausalLM Ernie4_5_MoeForCausalLM
    Ernie4_5_VLMoeForConditionalGeneration ErnieForCausalLM EvollaForProteinText2Text
    Exaone4ForCausalLM Exaone4_5_ForConditionalGeneration ExaoneMoeForCausalLM
    FSMTForConditionalGeneration FalconForCausalLM FalconH1ForCausalLM FalconMambaForCausalLM
    FastVlmForConditionalGeneration FlexOlmoForCausalLM FlintForCausalLM
    Florence2ForConditionalGeneration FuyuForCausalLM GPT2LMHeadModel GPTBigCodeForCausalLM
    GPTJForCausalLM GPTNeoForCausalLM GPTNeoXForCausalLM GPTNeoXJapaneseForCausalLM
    Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3nForCausalLM
    Gemma3nForConditionalGeneration Gemma4AssistantForCausalLM Gemma4ForCausalLM
    Gemma4ForConditionalGeneration Gemma4UnifiedAssistantForCausalLM Gemma4UnifiedForCausalLM
    Gemma4UnifiedForConditionalGeneration GemmaForCausalLM GitForCausalLM
    Glm46VForConditionalGeneration Glm4ForCausalLM Glm4MoeForCausalLM Glm4MoeLiteForCausalLM
    Glm4vForConditionalGeneration Glm4vMoeForConditionalGeneration
    Glm5NextForConditionalGeneration GlmAsrForConditionalGeneration GlmForCausalLM
    GlmMoeDsaForCausalLM GlmOcrForConditionalGeneration GotOcr2ForConditionalGeneration
    GptOssForCausalLM Granite4VisionForConditionalGeneration
    GraniteDoclingForConditionalGeneration GraniteForCausalLM GraniteMoeForCausalLM
    GraniteMoeHybridForCausalLM GraniteMoeSWAForCausalLM GraniteMoeSharedForCausalLM
    GraniteSWAForCausalLM GraniteSpeechForConditionalGeneration
    GraniteSpeechPlusForConditionalGeneration HYV3ForCausalLM HYV4ForCausalLM HeliumForCausalLM
    HrmTextForCausalLM HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM
    HunYuanVLForConditionalGeneration HyperCLOVAXForCausalLM
    HyperCLOVAXVisionV2ForConditionalGeneration Idefics2ForConditionalGeneration
    Idefics3ForConditionalGeneration IdeficsForVisionText2Text Inkling2ForCausalLM
    Inkling2ForConditionalGeneration InklingForCausalLM InklingForConditionalGeneration
    InstructBlipForConditionalGeneration InstructBlipVideoForConditionalGeneration
    InternVLForConditionalGeneration Jais2ForCausalLM JambaForCausalLM
    JanusForConditionalGeneration JetMoeForCausalLM KimiLinearForCausalLM
    Kimi_K25ForConditionalGeneration Kolibri1ForCausalLM Kosmos2ForConditionalGeneration
    Kosmos2_5ForConditionalGeneration LEDForConditionalGeneration LagunaForCausalLM
    Lfm2ForCausalLM Lfm2MoeForCausalLM Lfm2VlForConditionalGeneration Lfm3ForCausalLM
    Lfm3VlForConditionalGeneration LightOnOcrForConditionalGeneration Llama4ForCausalLM
    Llama4ForConditionalGeneration LlamaForCausalLM LlavaForConditionalGeneration
    LlavaNextForConditionalGeneration LlavaNextVideoForConditionalGeneration
    LlavaOnevisionForConditionalGeneration LongT5ForConditionalGeneration LongcatFlashForCausalLM
    M2M100ForConditionalGeneration MBartForCausalLM MBartForConditionalGeneration
    MT5ForConditionalGeneration Mamba2ForCausalLM MambaForCausalLM MarianForCausalLM MarianMTModel
    MegatronBertForCausalLM MellumForCausalLM MiMoV2FlashForCausalLM MiniCPM3ForCausalLM
    MiniCPMOcrForConditionalGeneration MiniCPMV4_6ForConditionalGeneration
    MiniCPMV4_7ForConditionalGeneration MiniMaxForCausalLM MiniMaxM2ForCausalLM
    MiniMaxM3SparseForConditionalGeneration MiniMaxM3VLForCausalLM Ministral3ForCausalLM
    MinistralForCausalLM Mistral3ForConditionalGeneration Mistral4ForCausalLM MistralForCausalLM
    MistralLarge4ForConditionalGeneration MixtralForCausalLM MllamaForCausalLM
    MllamaForConditionalGeneration ModernBertDecoderForCausalLM Molmo2ForConditionalGeneration
    MoshiForCausalLM MossTranscribeDiarizeForConditionalGeneration MptForCausalLM
    MuseGlimmerForConditionalGeneration MuseSparkForConditionalGeneration
    MusicFlamingoForConditionalGeneration MusicgenForCausalLM MusicgenMelodyForCausalLM
    MvpForCausalLM MvpForConditionalGeneration NanoChatForCausalLM
    Nemotron3_5TranscribeForConditionalGeneration NemotronForCausalLM NemotronHForCausalLM
    NemotronH_Omni_Reasoning_V3 NllbMoeForConditionalGeneration OPTForCausalLM Olmo2ForCausalLM
    Olmo3ForCausalLM OlmoForCausalLM OlmoHybridForCausalLM OlmoeForCausalLM OpenAIGPTLMHeadModel
    Ovis2ForConditionalGeneration PI0ForConditionalGeneration PLBartForCausalLM
    PLBartForConditionalGeneration PPFormulaNetForConditionalGeneration
    PaddleOCRVLForConditionalGeneration PaliGemmaForConditionalGeneration PegasusForCausalLM
    PegasusForConditionalGeneration PegasusXForConditionalGeneration
    PerceptionLMForConditionalGeneration PersimmonForCausalLM Phi3ForCausalLM
    Phi4MultimodalForCausalLM PhiForCausalLM PhimoeForCausalLM Pix2StructForConditionalGeneration
    ProphetNetForCausalLM ProphetNetForConditionalGeneration QianfanOCRForConditionalGeneration
    Qwen2AudioForConditionalGeneration Qwen2ForCausalLM Qwen2MoeForCausalLM
    Qwen2VLForConditionalGeneration Qwen2_5OmniThinkerForConditionalGeneration
    Qwen2_5_VLForConditionalGeneration Qwen3ASRForConditionalGeneration Qwen3ForCausalLM
    Qwen3MoeForCausalLM Qwen3NextForCausalLM Qwen3OmniMoeThinkerForConditionalGeneration
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration Qwen3_5ForCausalLM
    Qwen3_5ForConditionalGeneration Qwen3_5MoeForCausalLM Qwen3_5MoeForConditionalGeneration
    Qwen4ExpForCausalLM Qwen4ExpForConditionalGeneration RecurrentGemmaForCausalLM
    ReformerModelWithLMHead RemBertForCausalLM RoCBertForCausalLM RoFormerForCausalLM
    RobertaForCausalLM RobertaPreLayerNormForCausalLM RwkvForCausalLM SeamlessM4TForTextToText
    SeamlessM4Tv2ForTextToText SeedOssForCausalLM SmolLM3ForCausalLM
    SmolVLMForConditionalGeneration SolarOpenForCausalLM StableLmForCausalLM Starcoder2ForCausalLM
    Step3p7ForConditionalGeneration SwitchTransformersForConditionalGeneration
    T5ForConditionalGeneration T5Gemma2ForConditionalGeneration T5GemmaForConditionalGeneration
    TrOCRForCausalLM UMT5ForConditionalGeneration UdopForConditionalGeneration
    UnlimitedOcrForConditionalGeneration VaultGemmaForCausalLM
    VibeVoiceAsrForConditionalGeneration VideoLlama3ForConditionalGeneration
    VideoLlavaForConditionalGeneration VipLlavaForConditionalGeneration VisionEncoderDecoderModel
    VoxtralForConditionalGeneration VoxtralRealtimeForConditionalGeneration WhisperForCausalLM
    XGLMForCausalLM XLMRobertaForCausalLM XLMRobertaXLForCausalLM XLMWithLMHeadModel
    XLNetLMHeadModel XmodForCausalLM YoutuForCausalLM Zamba2ForCausalLM ZambaForCausalLM
    ZayaForCausalLM xLSTMForCausalLM
    """.split()
)
"""Architectures that generate text: causal, image-to-text, sequence-to-sequence.
Source: transformers 5.23.0 (PyPI sdist) models/auto/modeling_auto.py, read 2026-11."""

MLX_LM = frozenset(
    """
    Klear afm7 afmoe apertus baichuan_m1 bailing_hybrid bailing_moe bailing_moe_linear
    bailing_moe_v3 bitnet cohere cohere2 dbrx deepseek deepseek_v2 deepseek_v3 deepseek_v32
    deepseek_v41 deepseek_v41_text dots1 ernie4_5 ernie4_5_moe exaone exaone4 exaone_moe falcon_h1
    falcon_mamba gear gemma gemma2 gemma3 gemma3_text gemma3n gemma4 gemma4_text gemma4_unified
    glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt2 gpt_bigcode gpt_neox gpt_oss gptj granite
    granitemoe granitemoehybrid helium hunyuan hunyuan_v1_dense internlm2 internlm3 iquestcoder
    iquestloopcoder jamba joyai_llm_flash kimi_k2 kimi_k25 kimi_k3 kimi_linear kimi_vl laguna lfm2
    lfm2-vl lfm2_moe lille-130m llama llama4 llama4_text llava longcat_flash longcat_flash_ngram
    mamba mamba2 mellum mimo mimo_v2_flash minicpm minicpm3 minimax minimax_m2 minimax_m3_vl
    ministral3 mistral mistral3 mistral4 mixtral muse_glimmer muse_spark nanbeige nanochat
    nemotron nemotron-nas nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openelm phi phi-msft phi3
    phi3small phimoe phixtral pixtral plamo plamo2 plamo3 prism_hadamard_qwen35 qwen qwen2
    qwen2_5_vl qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_5_moe qwen3_moe qwen3_next qwen3_vl
    qwen3_vl_moe recurrent_gemma rwkv7 seed_oss smollm3 solar_open spark2_5 stablelm starcoder2
    step3p5 talkie telechat3 xverse youtu_llm
    """.split()
)
"""Values of model_type: module names and their aliases.
Source: mlx-lm 0.32.2 (PyPI sdist) models/ and utils.py MODEL_REMAPPING, read 2026-11."""

EXLLAMAV3 = frozenset(
    """
    AfmoeForCausalLM ApertusForCausalLM ArceeForCausalLM BailingMoeV3ForCausalLM
    Cohere2ForCausalLM CohereForCausalLM DeciLMForCausalLM DeepseekV3ForCausalLM
    DeepseekV4ForCausalLM Dots1ForCausalLM Ernie4_5_ForCausalLM Ernie4_5_MoeForCausalLM
    Exaone4ForCausalLM Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration
    Gemma4ForConditionalGeneration Gemma4UnifiedForConditionalGeneration Glm4ForCausalLM
    Glm4MoeForCausalLM Glm4MoeLiteForCausalLM Glm4vForConditionalGeneration
    Glm4vMoeForConditionalGeneration Glm5NextForConditionalGeneration GlmMoeDsaForCausalLM
    GptOssForCausalLM HCXVisionV2ForCausalLM HYV3ForCausalLM HyperCLOVAXForCausalLM
    IQuestCoderForCausalLM KimiLinearForCausalLM LagunaForCausalLM Lfm2ForCausalLM
    Lfm2MoeForCausalLM Lfm2VlForConditionalGeneration LlamaForCausalLM MiMoForCausalLM
    MiMoV2ForCausalLM MiniMaxM2ForCausalLM Ministral3ForCausalLM Mistral3ForConditionalGeneration
    MistralForCausalLM MixtralForCausalLM MuseGlimmerForConditionalGeneration NemotronHForCausalLM
    NemotronH_Omni_Reasoning_V3 Olmo3ForCausalLM OlmoHybridForCausalLM Phi3ForCausalLM
    Qwen2ForCausalLM Qwen2_5_VLForConditionalGeneration Qwen3ForCausalLM Qwen3MoeForCausalLM
    Qwen3NextForCausalLM Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration
    Qwen3_5ForCausalLM Qwen3_5ForConditionalGeneration Qwen3_5MoeForCausalLM
    Qwen3_5MoeForConditionalGeneration Qwen4ExpForConditionalGeneration SeedOssForCausalLM
    SmolLM3ForCausalLM SolarOpenForCausalLM Spark2_5ForCausalLM Step3p5ForCausalLM
    Step3p7ForConditionalGeneration
    """.split()
)
"""Architectures.
Source: exllamav3 1.6.5 (PyPI wheel) architecture/, read 2026-11."""
