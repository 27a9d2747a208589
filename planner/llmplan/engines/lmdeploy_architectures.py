"""Architectures that LMDeploy loads: all of them, and those of the TurboMind back end.

Source: LMDeploy 0.18.0 (PyPI wheel), pytorch/models/module_map.py without draft models and
turbomind/supported_models.py, read 2026-11-21.
"""

TURBOMIND = frozenset(
    """
    Glm4MoeLiteForCausalLM GptOssForCausalLM InternLM2ForCausalLM InternLM3ForCausalLM
    InternS1ForConditionalGeneration InternS2MobiusForConditionalGeneration
    InternS2PreviewForConditionalGeneration InternVLChatModel InternVLForConditionalGeneration
    LlamaForCausalLM MixtralForCausalLM Qwen2ForCausalLM Qwen2MoeForCausalLM
    Qwen2VLForConditionalGeneration Qwen2_5_VLForConditionalGeneration Qwen3ForCausalLM
    Qwen3MoeForCausalLM Qwen3_5ForConditionalGeneration Qwen3_5MoeForConditionalGeneration
    """.split()
)

ARCHITECTURES = TURBOMIND | frozenset(
    """
    ChatGLMForConditionalGeneration CogVLMForCausalLM DeepseekForCausalLM DeepseekV2ForCausalLM
    DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekV4ForCausalLM DeepseekVLV2ForCausalLM
    Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration GemmaForCausalLM
    Glm4ForCausalLM Glm4MoeForCausalLM Glm4vForConditionalGeneration GlmMoeDsaForCausalLM
    HYV3ForCausalLM InternLM2ForRewardModel InternS1ProForConditionalGeneration
    InternS1_1_ForConditionalGeneration InternS2MobiusForCausalLM InternS2PreviewForCausalLM
    KimiK25ForConditionalGeneration Kimi_K25ForConditionalGeneration
    Llama4ForConditionalGeneration LlavaForConditionalGeneration
    LlavaNextForConditionalGeneration MetaMoeForConditionalGeneration MiniCPM3ForCausalLM
    MiniCPMV MistralForCausalLM Phi3ForCausalLM Phi3VForCausalLM PhiMoEForCausalLM
    Qwen2ForRewardModel Qwen3NextForCausalLM Qwen3OmniMoeForConditionalGeneration
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration SDARForCausalLM
    SDARMoeForCausalLM
    """.split()
)
