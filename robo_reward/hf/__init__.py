"""Pretrained vision-language models as backbones: Qwen3-VL, Qwen2.5-VL, SmolVLM."""
