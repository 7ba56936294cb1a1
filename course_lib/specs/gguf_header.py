"""What the header of a GGUF file holds: the sizes as metadata, and the name, type and
shape of each tensor. The fields of a config are made from it where the architecture is
known; else its parameters are told by part.

Source: the specification of GGUF in ggml's documentation (docs/gguf.md).
"""

import struct
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from course_lib.specs.safetensors_header import part_of

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}
NUMBERS |= {10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
MOST, LONGEST = 2_000_000, 1_000_000
KEPT = 1024
"""Of a longer list (a tokenizer's words) nothing is kept."""
ARCHITECTURES = {
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "glm4": "glm4",
    "llama": "llama",
    "olmo2": "olmo2",
    "olmoe": "olmoe",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "smollm3": "smollm3",
    "starcoder2": "starcoder2",
}
"""llama.cpp's names of architectures whose sizes make a config of ours."""
FIELDS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}


def gguf_config(path: Path) -> dict[str, Any]:
    """Return the fields of a config that a GGUF file's metadata make.

    Raises:
        ValueError: if the header is damaged, or its architecture makes no config (the
            message says what the tensors hold).
    """
    with path.open("rb") as file:
        try:
            metadata, shapes = header(file)
        except (struct.error, MemoryError, OverflowError, UnicodeDecodeError):
            raise ValueError("GGUF: the header is damaged or cut short") from None
    named = metadata.get("general.architecture")
    model_type = ARCHITECTURES.get(named) if isinstance(named, str) else None
    if model_type is None:
        raise ValueError(tensors_said(named, shapes))
    config = {
        name: metadata[f"{named}.{own}"]
        for own, name in FIELDS.items()
        if f"{named}.{own}" in metadata
    }
    if model_type == "llama" and config.get("num_experts", 0):
        config["num_local_experts"] = config.pop("num_experts")
        model_type = "mixtral"
    bias = "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes
    return {
        "num_key_value_heads": config.get("num_attention_heads"),
        **config,
        "model_type": model_type,
        "vocab_size": (shapes.get("token_embd.weight") or [None])[-1],
        "tie_word_embeddings": "output.weight" not in shapes,
        "attention_bias": bias,
    }


def header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return a GGUF file's metadata and the shapes of its tensors."""
    file.seek(4)
    version, tensors, pairs = unpacked(file, "<IQQ")
    if not 2 <= version <= 3:
        raise ValueError(f"GGUF: version {version}; allowed are 2 and 3")
    if pairs > MOST or tensors > MOST:
        raise ValueError("GGUF: the header is damaged")
    metadata = {}
    for _ in range(pairs):
        key = text(file)
        metadata[key] = value(file, unpacked(file, "<I")[0])
    shapes = {}
    for _ in range(tensors):
        name = text(file)
        (axes,) = unpacked(file, "<I")
        if axes > 8:
            raise ValueError("GGUF: the header is damaged")
        shapes[name] = list(unpacked(file, f"<{axes}Q"))
        unpacked(file, "<IQ")
    return metadata, shapes


def unpacked(file: BinaryIO, form: str) -> tuple[Any, ...]:
    """Return the next numbers of a file."""
    return struct.unpack(form, file.read(struct.calcsize(form)))


def text(file: BinaryIO) -> str:
    """Return the next string: its length, then UTF-8."""
    (length,) = unpacked(file, "<Q")
    if length > LONGEST:
        raise ValueError("GGUF: the header is damaged")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("GGUF: the header is cut short")
    return data.decode("utf-8", errors="replace")


def value(file: BinaryIO, kind: int) -> Any:
    """Return the next value: a number, a string, or a list (None where it is long)."""
    if kind in NUMBERS:
        return unpacked(file, f"<{NUMBERS[kind]}")[0]
    if kind == TEXT:
        return text(file)
    if kind != LIST:
        raise ValueError(f"GGUF: a value of kind {kind}; allowed are 0 to 12")
    inner, length = unpacked(file, "<IQ")
    if length > 50 * MOST:
        raise ValueError("GGUF: the header is damaged")
    if inner in NUMBERS:
        form = f"<{length}{NUMBERS[inner]}"
        if length > KEPT:
            file.seek(struct.calcsize(form), 1)
            return None
        return list(unpacked(file, form))
    found = [value(file, inner) for _ in range(length)]
    return found if length <= KEPT else None


def tensors_said(named: Any, shapes: dict[str, list[int]]) -> str:
    """Return what the tensors of a file hold, in words."""
    parts = Counter()
    for name, shape in shapes.items():
        parts[part_of(name)] += prod(shape)
    by_part = ", ".join(f"{part} {count:,}" for part, count in parts.most_common(6))
    return (
        f"this is a GGUF file of architecture {str(named)[:40]!r}, which makes no "
        f"config here: {sum(parts.values()):,} parameters in {len(shapes):,} tensors; "
        f"by part: {by_part or 'none'}. The config.json of the model is wanted"
    )
