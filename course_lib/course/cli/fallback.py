"""A model of a family that is not read, counted as `transformers` builds it: on the
meta device, so without memory for its weights, the network, or remote code.

The answer holds what can be counted so, parameters by part and the bytes of a cache,
and says how it was counted.
"""

import os
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from course_lib.course.cli.console import say, table
from course_lib.kit.units import bytes_text, count_text
from course_lib.specs.files import read_document
from course_lib.specs.from_hf import is_read
from course_lib.specs.safetensors_header import part_of

MOST_LAYERS, CACHED_TOKENS = 400, 64


def built_facts(path: str, refused: str = "") -> dict[str, Any] | None:
    """Return the counts of a config's model as `transformers` builds it, or None where
    a family of ours reads it, `transformers` is not installed, or does not know it.

    Args: `refused` why the family of ours that reads this type refuses the file; it is
        built then all the same.
    Raises:
        ValueError: if `transformers` refuses the config, or it cannot be read.
    """
    try:
        fields = read_document(Path(path))
        if (is_read(fields) and not refused) or too_deep(fields):
            return None
    except RecursionError:
        raise ValueError(f"config={path[-60:]!r}: nested too deeply") from None
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        import transformers
        from transformers import CONFIG_MAPPING
    except ImportError:
        return None
    if fields["model_type"] not in CONFIG_MAPPING:
        return None
    transformers.logging.set_verbosity_error()
    try:
        config = CONFIG_MAPPING[fields["model_type"]].from_dict(deepcopy(fields))
        with torch.device("meta"):
            model = model_of(config, fields).eval()
    except Exception as error:  # whatever a family of any kind raises
        why = " ".join(str(error).split())[-160:]
        raise ValueError(
            f"{refused or unread(fields)}, and transformers refuses the config ({why})"
        ) from None
    why = f"here: {refused}" if refused else "no family here reads this model type"
    return facts_of(model, config, fields, transformers.__version__, why)


def unread(fields: Mapping[str, Any]) -> str:
    """Say that a type is not read."""
    return f"model_type={fields['model_type']!r}: no family here reads it"


def too_deep(fields: Mapping[str, Any]) -> bool:
    """Whether a config, or a part of it, has more layers than are built here."""
    sizes = [
        value
        for name, value in fields.items()
        if "layer" in name and isinstance(value, int)
    ]
    parts = [value for value in fields.values() if isinstance(value, Mapping)]
    return any(size > MOST_LAYERS for size in sizes) or any(map(too_deep, parts))


def model_of(config: Any, fields: Mapping[str, Any]) -> Any:
    """Return the model of the class that the file names, or of the first kind that
    `transformers` has for its type.
    """
    import transformers

    for name in (fields.get("architectures") or [])[:1]:
        found = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found(config)
    kinds = ["ForCausalLM", "ForImageTextToText", "ForSeq2SeqLM", "ForMaskedLM", ""]
    if getattr(config, "is_encoder_decoder", False):
        kinds.insert(0, "ForSeq2SeqLM")
    for kind in kinds:
        auto = getattr(transformers, f"AutoModel{kind}")
        if type(config) in auto._model_mapping:
            return auto.from_config(config)
    raise ValueError(f"model_type={config.model_type!r}: it has no model class")


def facts_of(
    model: Any, config: Any, fields: Mapping[str, Any], version: str, why: str
) -> dict[str, Any]:
    """Return the counts of a built model."""
    parts: Counter[str] = Counter()
    for name, one in model.named_parameters():
        parts[part_of(name)] += one.numel()
    cache = cache_facts(model, config)
    return {
        "model": fields["model_type"],
        "counted": f"{type(model).__name__}, as transformers {version} builds it on "
        f"the meta device; {why}",
        "total_parameters": sum(parts.values()),
        "parameters_by_part": dict(parts.most_common()),
        **cache,
    }


def cache_facts(model: Any, config: Any) -> dict[str, Any]:
    """Return the bytes of a cache after two lengths of text, in 16 bits, or None where
    the model keeps none that is found so.
    """
    import torch

    if not hasattr(model, "generate") or not model.can_generate():
        return {"cache_bytes_per_token": None, "cache_bytes_fixed": None}
    held, half = [], model.to(torch.bfloat16)
    for tokens in (CACHED_TOKENS, CACHED_TOKENS + 1):
        ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
        decodes = getattr(config, "is_encoder_decoder", False)
        more = {"decoder_input_ids": ids} if decodes else {}
        try:
            with torch.no_grad():
                found = half(input_ids=ids, use_cache=True, **more)
        except Exception:  # what a family of any kind raises on the meta device
            return {"cache_bytes_per_token": None, "cache_bytes_fixed": None}
        cache = getattr(found, "past_key_values", None)
        cache = getattr(found, "cache_params", None) if cache is None else cache
        held.append(None if cache is None else bytes_of(cache, set()))
    if None in held or not held[0]:
        return {"cache_bytes_per_token": None, "cache_bytes_fixed": None}
    grown = held[1] - held[0]
    return {
        "cache_bytes_per_token": grown,
        "cache_bytes_fixed": held[0] - CACHED_TOKENS * grown,
    }


def bytes_of(held: Any, seen: set[int]) -> int:
    """Return the bytes of all tensors that an object holds, each once."""
    import torch

    if id(held) in seen:
        return 0
    seen.add(id(held))
    if isinstance(held, torch.Tensor):
        return held.numel() * held.element_size()
    if isinstance(held, Mapping):
        return sum(bytes_of(one, seen) for one in held.values())
    if isinstance(held, list | tuple):
        return sum(bytes_of(one, seen) for one in held)
    if type(held).__module__.startswith("transformers.") and hasattr(held, "__dict__"):
        return sum(bytes_of(one, seen) for one in vars(held).values())
    return 0


def show_built(facts: Mapping[str, Any]) -> None:
    """Print the counts of a built model."""
    total = facts["total_parameters"]
    rows = [
        (part, count_text(n), f"{n / total:.1%}")
        for part, n in facts["parameters_by_part"].items()
    ]
    rows += [("total", count_text(total), "100%")]
    table(("parameters", "#count", "#share"), rows, title=facts["model"])
    say(f"Counted as {facts['counted']}.")
    per_token = facts["cache_bytes_per_token"]
    if per_token is None:
        say("No cache was found in a pass over a text.")
    else:
        say(
            f"Cache, 16 bits: {bytes_text(per_token)} a token, and "
            f"{bytes_text(facts['cache_bytes_fixed'])} a request."
        )
