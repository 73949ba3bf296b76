"""Names for models of known size, so that their memory can be estimated before a download.

The figures are those of the models' published configurations; what is not named here is
transformers' default for the family.
"""

from typing import Any, Literal

type Size = Literal["small", "2b", "4b", "8b"]
"""Of a Qwen3-VL; ``small`` is none of the published ones."""

HUB = {
    "qwen3-vl-2b": "Qwen/Qwen3-VL-2B-Instruct",
    "qwen3-vl-4b": "Qwen/Qwen3-VL-4B-Instruct",
    "qwen3-vl-8b": "Qwen/Qwen3-VL-8B-Instruct",
}


def hub_id(base: str) -> str:
    """Return the hub id that a preset stands for, or ``base`` itself."""
    return HUB.get(base, base)


def architecture(base: str) -> dict[str, Any] | None:
    """Return the configuration of a preset or its hub id, as far as sizes go; else None."""
    named = {hub_id(name): name for name in HUB}.get(hub_id(base))
    if named is None:
        return None
    size = named.rsplit("-", 1)[1]
    width, inner, layers, heads = _TEXT[size]
    small = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096}
    large = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304}
    return {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": size != "8b",
        "text_config": {
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        },
        "vision_config": {
            **(large if size == "8b" else small),
            "num_heads": 16,
            "out_hidden_size": width,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [8, 16, 24] if size == "8b" else [5, 11, 17],
        },
    }


_TEXT = {"2b": (2048, 6144, 28, 16), "4b": (2560, 9728, 36, 32), "8b": (4096, 12288, 36, 32)}
"""Width, width inside the MLP, layers, heads."""
