"""What the header of a safetensors file holds: each tensor's name, type and shape, so
the parameters, and the bytes as they are stored. No config stands there.
"""

import json
from collections import Counter
from math import prod
from pathlib import Path

MOST_HEADER = 100 * 2**20


def describe_header(path: Path) -> str:
    """Return what a safetensors file holds, in two lines.

    Raises:
        ValueError: if the header is cut short or is no JSON.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER:
            raise ValueError(f"safetensors: a header of {length:,} bytes is too long")
        try:
            header = json.loads(file.read(length))
            return said(header)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError("safetensors: the header is damaged") from None


def said(header: dict) -> str:
    """Return a header in words: parameters and bytes, by type and by part."""
    kinds, parts = Counter(), Counter()
    stored = 0
    for name, one in header.items():
        if name == "__metadata__":
            continue
        count = prod(one["shape"])
        kinds[str(one["dtype"])[:8]] += count
        parts[part_of(name)] += count
        first, last = one["data_offsets"]
        stored += last - first
    by_kind = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(4))
    by_part = ", ".join(f"{part} {count:,}" for part, count in parts.most_common(6))
    return (
        f"this is a safetensors file: {sum(kinds.values()):,} parameters in "
        f"{len(header) - ('__metadata__' in header):,} tensors ({by_kind}), "
        f"{stored:,} bytes; by part: {by_part}. It says no layers: the config.json "
        "beside it is wanted"
    )


def part_of(name: str) -> str:
    """Return which part of a model a tensor belongs to, by its name.

    >>> part_of("model.layers.3.self_attn.q_proj.weight"), part_of("lm_head.weight")
    ('attention', 'head')
    """
    words = (
        ("expert", "experts"),
        ("vision", "vision"),
        ("visual", "vision"),
        ("norm", "norm"),
        ("ln_", "norm"),
        ("attn", "attention"),
        ("attention", "attention"),
        ("mixer", "state"),
        ("mlp", "ffn"),
        ("ffn", "ffn"),
        ("feed_forward", "ffn"),
        ("intermediate", "ffn"),
        ("embed", "embedding"),
        ("wte", "embedding"),
        ("head", "head"),
    )
    return next((part for word, part in words if word in name.lower()), "other")
