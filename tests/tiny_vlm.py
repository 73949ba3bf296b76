"""Tiny random vision-language models on disk, of the families that `robo_reward.hf` reads.

They are made and saved by transformers itself, and used through the real loading path alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

TEXTS = (
    "Views of a robot at work; how far has it got with the task?",
    "open the drawer",
    "close the drawer",
    "pick up the red cube and put it in the bin",
    "push the blue button",
    "front start: goal: before: after: wrist side",
)
MARKS = {
    "qwen3_vl": ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    "qwen2_5_vl": ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    "smolvlm": ("<fake_token_around_image>", "<global-img>", "<image>", "<row_1_col_1>"),
}
UNIT = {"qwen3_vl": 16, "qwen2_5_vl": 16, "smolvlm": 16}
"""Pixels that images must be a multiple of."""


def make_tiny_vlm(directory: Path, family: str, scale: float = 1.0, seed: int = 0) -> Path:
    """Save a random model of a family with its tokenizer and image processor.

    With the usual initial range of .02 so narrow a model says the same of every input; ``scale``
    multiplies every weight of two or more dimensions, and 4 makes it learn.
    """
    tokenizer = _tokenizer(family)
    torch.manual_seed(seed)
    model = _model(family, tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    _image_processor(family).save_pretrained(directory)
    return directory


def _tokenizer(family: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", *MARKS[family]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(MARKS[family]),
    )


def _model(family: str, tokenizer: Any) -> nn.Module:
    import transformers

    marks = dict(zip(MARKS[family], tokenizer.convert_tokens_to_ids(MARKS[family]), strict=True))
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if family == "smolvlm":
        vision = {"image_size": 64, "patch_size": 8, "hidden_size": 32, "intermediate_size": 48}
        vision |= {"num_hidden_layers": 2, "num_attention_heads": 2}
        smol = transformers.SmolVLMConfig(
            text_config={"model_type": "llama", **text},
            vision_config=vision,
            image_token_id=marks["<image>"],
            pad_token_id=tokenizer.pad_token_id,
            scale_factor=2,
        )
        return transformers.SmolVLMForConditionalGeneration(smol)
    shared = {
        "image_token_id": marks["<|image_pad|>"],
        "video_token_id": marks["<|video_pad|>"],
        "vision_start_token_id": marks["<|vision_start|>"],
        "vision_end_token_id": marks["<|vision_end|>"],
    }
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    vision |= {"patch_size": 8, "spatial_merge_size": 2, "out_hidden_size": 64}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
    if family == "qwen3_vl":
        vision |= {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
        text |= {"head_dim": 16}
        qwen3 = transformers.Qwen3VLConfig(
            text_config={**text, "rope_parameters": {**rope, "mrope_interleaved": True}},
            vision_config=vision,
            **shared,
        )
        return transformers.Qwen3VLForConditionalGeneration(qwen3)
    vision |= {"window_size": 32, "fullatt_block_indexes": [1]}
    qwen25 = transformers.Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope}, vision_config=vision, **shared
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(qwen25)


def _image_processor(family: str) -> Any:
    from transformers import Qwen2VLImageProcessor, SmolVLMImageProcessor

    if family == "smolvlm":
        return SmolVLMImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 64}, do_image_splitting=False
        )
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if family == "qwen3_vl" else {}
    size = {"shortest_edge": 256, "longest_edge": 1 << 20}
    return Qwen2VLImageProcessor(patch_size=8, merge_size=2, size=size, **half)


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_servable(directory: Path) -> Path:
    """Save a random Qwen3-VL with all that a server needs of it: a processor and a chat template.

    Four times the usual weights, so that it does not say the same of every input.
    """
    import transformers

    make_tiny_vlm(directory, "qwen3_vl", scale=4.0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    frames = transformers.Qwen3VLVideoProcessor(patch_size=8, merge_size=2)
    transformers.Qwen3VLProcessor(
        image_processor=_image_processor("qwen3_vl"),
        tokenizer=tokenizer,
        video_processor=frames,
        chat_template=TEMPLATE,
    ).save_pretrained(directory)
    return directory
