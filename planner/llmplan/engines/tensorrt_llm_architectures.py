"""Architectures of TensorRT-LLM's PyTorch back end.

Source: NVIDIA/TensorRT-LLM _torch/models/_arch_index.py at 065ff9e93 (main, 1.3 in
development), draft models and towers left out, read 2026-11-21.
"""

ARCHITECTURES = frozenset(
    """
    AfmoeForCausalLM BartForConditionalGeneration BertForSequenceClassification
    Cohere2ForCausalLM Cosmos3ForConditionalGeneration DeciLMForCausalLM DeepseekV32ForCausalLM
    DeepseekV3ForCausalLM DeepseekV4ForCausalLM Exaone4ForCausalLM
    Exaone4_5_ForConditionalGeneration ExaoneMoEForCausalLM Gemma3ForCausalLM
    Gemma3ForConditionalGeneration Gemma4ForCausalLM Gemma4ForConditionalGeneration
    Gemma4UnifiedForConditionalGeneration Glm4MoeForCausalLM GlmMoeDsaForCausalLM
    GptOssForCausalLM HCXVisionForCausalLM HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM
    KimiK25ForConditionalGeneration KimiK3ForConditionalGeneration KimiLinearForCausalLM
    LagunaForCausalLM Llama4ForConditionalGeneration LlamaForCausalLM LlavaLlamaModel
    LlavaNextForConditionalGeneration MBartForConditionalGeneration
    MiniCPMV4_6ForConditionalGeneration MiniMaxM2ForCausalLM MiniMaxM3SparseForCausalLM
    MiniMaxM3SparseForConditionalGeneration Mistral3ForConditionalGeneration MistralForCausalLM
    MistralLarge3ForCausalLM MixtralForCausalLM MllamaForConditionalGeneration
    NemotronForCausalLM NemotronHForCausalLM NemotronHPuzzleForCausalLM
    NemotronH_Nano_Omni_Reasoning_V3 NemotronH_Nano_VL_V2 Phi3ForCausalLM Phi4MMForCausalLM
    PixtralForConditionalGeneration Qwen2ForCausalLM Qwen2ForProcessRewardModel
    Qwen2ForRewardModel Qwen2MoeForCausalLM Qwen2VLForConditionalGeneration
    Qwen2_5_VLForConditionalGeneration Qwen3ForCausalLM Qwen3ForTextEmbedding
    Qwen3MoeForCausalLM Qwen3NextForCausalLM Qwen3VLForConditionalGeneration
    Qwen3VLMoeForConditionalGeneration Qwen3_5ForCausalLM Qwen3_5ForConditionalGeneration
    Qwen3_5MoeForCausalLM Qwen3_5MoeForConditionalGeneration SeedOssForCausalLM
    Starcoder2ForCausalLM Step3p5ForCausalLM Step3p7ForConditionalGeneration
    T5ForConditionalGeneration WhisperForConditionalGeneration
    """.split()
)
