"""Architectures that llama.cpp converts to GGUF and runs.

Source: llama.cpp at 0c1e57098 (2026-10-01, vendored in PyPI llama-cpp-python 0.3.36),
conversion/*.py, the classes registered with ModelBase; read 2026-11-21.
"""

ARCHITECTURES = frozenset(
    """
    AfmoeForCausalLM ApertusForCausalLM ArceeForCausalLM ArcticForCausalLM
    AudioFlamingo3ForConditionalGeneration BaiChuanForCausalLM BaichuanForCausalLM
    BailingMoeForCausalLM BailingMoeV2ForCausalLM BailingMoeV3ForCausalLM
    BailingMoeV3VLForConditionalGeneration BambaForCausalLM BertForMaskedLM
    BertForSequenceClassification BertModel BitNetForCausalLM BitnetForCausalLM BloomForCausalLM
    BloomModel CamembertModel ChameleonForCausalLM ChameleonForConditionalGeneration
    ChatGLMForConditionalGeneration ChatGLMModel CodeShellForCausalLM CogVLMForCausalLM
    Cohere2ForCausalLM Cohere2MoeForCausalLM CohereForCausalLM DFlash2DraftModel
    DFlashDraftModel DSparkDraftModel DSparkSpeculator DbrxForCausalLM DeciLMForCausalLM
    DeepseekForCausalLM DeepseekOCR2ForCausalLM DeepseekOCRForCausalLM DeepseekV2ForCausalLM
    DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekV4DSparkModel DeepseekV4ForCausalLM
    DistilBertForMaskedLM DistilBertForSequenceClassification DistilBertModel Dots1ForCausalLM
    Dots3NoteForCausalLM Dots3NoteForConditionalGeneration Dots3NoteTextForCausalLM
    DotsOCRForCausalLM DreamModel Eagle3DraftModel Eagle3LlamaForCausalLM Eagle3Speculator
    Ernie4_5ForCausalLM Ernie4_5_ForCausalLM Ernie4_5_MoeForCausalLM EuroBertModel
    Exaone4ForCausalLM Exaone4_5_ForConditionalGeneration ExaoneForCausalLM ExaoneMoEForCausalLM
    ExaoneMoeForCausalLM FalconForCausalLM FalconH1ForCausalLM FalconMambaForCausalLM
    GPT2LMHeadModel GPTBigCodeForCausalLM GPTNeoXForCausalLM GPTRefactForCausalLM
    Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3TextModel
    Gemma3nForCausalLM Gemma3nForConditionalGeneration Gemma4AssistantForCausalLM
    Gemma4DSparkModel Gemma4ForCausalLM Gemma4ForConditionalGeneration
    Gemma4UnifiedAssistantForCausalLM Gemma4UnifiedForConditionalGeneration GemmaForCausalLM
    Glm4ForCausalLM Glm4MoeForCausalLM Glm4MoeLiteForCausalLM Glm4vForConditionalGeneration
    Glm4vMoeForConditionalGeneration Glm5NextForConditionalGeneration
    Glm5vForConditionalGeneration GlmForCausalLM GlmMoeDsaForCausalLM
    GlmOcrForConditionalGeneration GlmasrModel GptOssForCausalLM
    Granite4VisionForConditionalGeneration GraniteForCausalLM GraniteMoeForCausalLM
    GraniteMoeHybridForCausalLM GraniteMoeSWAForCausalLM GraniteMoeSharedForCausalLM
    GraniteSWAForCausalLM GraniteSpeechForConditionalGeneration
    GraniteSpeechPlusForConditionalGeneration GraniteSwitchForCausalLM Grok1ForCausalLM
    GrokForCausalLM GroveMoeForCausalLM HYV3ForCausalLM HYV4ForCausalLM HrmTextForCausalLM
    HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM HunYuanVLForConditionalGeneration
    IQuestCoderForCausalLM Idefics3ForConditionalGeneration InternLM2ForCausalLM
    InternLM3ForCausalLM InternVisionModel JAISLMHeadModel Jais2ForCausalLM JambaForCausalLM
    JanusForConditionalGeneration JinaBertForMaskedLM JinaBertModel JinaEmbeddingsV5Model
    KORMoForCausalLM KimiK25ForConditionalGeneration KimiK3ForConditionalGeneration
    KimiLinearForCausalLM KimiLinearModel KimiVLForConditionalGeneration LFM2ForCausalLM
    LLaDAMoEModel LLaDAMoEModelLM LLaDAModelLM LLaMAForCausalLM LagunaForCausalLM
    Lfm25AudioTokenizer Lfm2AudioForConditionalGeneration Lfm2BidirectionalModel
    Lfm2DSparkDraftModel Lfm2ForCausalLM Lfm2Model Lfm2MoeForCausalLM
    Lfm2VlForConditionalGeneration LightOnOCRForConditionalGeneration LingDSparkModel
    Llama4ForCausalLM Llama4ForConditionalGeneration LlamaBidirectionalModel LlamaForCausalLM
    LlamaForCausalLMEagle3 LlamaModel LlavaForConditionalGeneration
    LlavaStableLMEpochForCausalLM MERaLiON2ForConditionalGeneration MPTForCausalLM
    MT5ForConditionalGeneration MaincoderForCausalLM Mamba2ForCausalLM MambaForCausalLM
    MambaLMHeadModel MapleForCausalLM MellumForCausalLM MiMoV2FlashForCausalLM MiMoV2ForCausalLM
    MiniCPM3ForCausalLM MiniCPMForCausalLM MiniCPMV4_6ForConditionalGeneration
    MiniMaxM1ForCausalLM MiniMaxM2ForCausalLM MiniMaxM3SparseForCausalLM
    MiniMaxM3SparseForConditionalGeneration MiniMaxM3VLForConditionalGeneration
    MiniMaxText01ForCausalLM Ministral3ForCausalLM Mistral3ForConditionalGeneration
    MistralForCausalLM MixtralForCausalLM ModernBertForMaskedLM
    ModernBertForSequenceClassification ModernBertModel MuseGlimmerAssistantModel
    MuseGlimmerForConditionalGeneration NanbeigeForCausalLM NemotronForCausalLM
    NemotronHForCausalLM NemotronHPuzzleForCausalLM NemotronH_Nano_VL_V2 NeoBERT
    NeoBERTForSequenceClassification NeoBERTLMHead NomicBertModel OLMoForCausalLM
    Olmo2ForCausalLM Olmo3ForCausalLM OlmoForCausalLM OlmoeForCausalLM OpenELMForCausalLM
    OrionForCausalLM PLMForCausalLM PLaMo2ForCausalLM PLaMo3ForCausalLM
    PaddleOCRVLForConditionalGeneration PaddleOCRVisionModel PanguEmbeddedForCausalLM
    Phi3ForCausalLM Phi4ForCausalLMV PhiForCausalLM PhiMoEForCausalLM Plamo2ForCausalLM
    Plamo3ForCausalLM PlamoForCausalLM PocketTTSModel QWenLMHeadModel
    Qwen2AudioForConditionalGeneration Qwen2ForCausalLM Qwen2Model Qwen2MoeForCausalLM
    Qwen2VLForConditionalGeneration Qwen2VLModel Qwen2_5OmniModel
    Qwen2_5_VLForConditionalGeneration Qwen3ASRForConditionalGeneration Qwen3DSparkModel
    Qwen3ForCausalLM Qwen3Model Qwen3MoeForCausalLM Qwen3NextForCausalLM
    Qwen3OmniMoeForConditionalGeneration Qwen3TTSForConditionalGeneration
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration Qwen3_5ForCausalLM
    Qwen3_5ForConditionalGeneration Qwen3_5MoeForCausalLM Qwen3_5MoeForConditionalGeneration
    Qwen4ExpForCausalLM Qwen4ExpForConditionalGeneration RADIOModel RND1 RWForCausalLM
    RWKV6Qwen2ForCausalLM RWKV7ForCausalLM RobertaForSequenceClassification RobertaModel
    RuGPT3XLForCausalLM Rwkv6ForCausalLM Rwkv7ForCausalLM RwkvHybridForCausalLM
    Sarashina2VisionForCausalLM SarvamMoEForCausalLM SeedOssForCausalLM SmallThinkerForCausalLM
    SmolLM3ForCausalLM SmolVLMForConditionalGeneration SolarOpenForCausalLM Spark2_5ForCausalLM
    StableLMEpochForCausalLM StableLmForCausalLM Starcoder2ForCausalLM Step3p5ForCausalLM
    Step3p7ForConditionalGeneration StepVLForConditionalGeneration T5EncoderModel
    T5ForConditionalGeneration T5WithLMHeadModel TalkieForCausalLM UMT5ForConditionalGeneration
    UMT5Model UltravoxModel UnlimitedOCRForCausalLM VLlama3ForCausalLM
    VoxtralForConditionalGeneration WavTokenizerDec XLMRobertaForSequenceClassification
    XLMRobertaModel XverseForCausalLM YoutuForCausalLM YoutuVLForConditionalGeneration
    """.split()
)

GGUF_ARCHITECTURES = frozenset(
    """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bitnet
    bloom chameleon chatglm codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek
    deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash dots1 dots3note dream eagle3 ernie4_5
    ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma-embedding
    gemma2 gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2
    gptj gptneox granite granite_swa granitehybrid granitemoe graniteswitch grok grovemoe
    hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 jamba
    jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama
    llama-embed llama4 maincoder mamba mamba2 maple mellum mimo2 minicpm minicpm3 minimax-01
    minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt muse-glimmer nanbeige nemotron
    nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe openelm orion
    paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2
    qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe
    qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm
    starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse
    """.split()
)
"""Values of general.architecture that llama.cpp loads (LLM_ARCH_NAMES of src/llama-arch.cpp)."""
