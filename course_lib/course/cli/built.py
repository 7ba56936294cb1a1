"""What `course spec`, `course kv` and `course fit` say of a model that no family of
ours reads, or of whose config a part is not supported: what can be counted on the model
that `transformers` builds (`fallback`), and nothing else.
"""

from collections.abc import Mapping
from typing import Any

import typer

from course_lib.costs.hardware import Hardware
from course_lib.course.cli.console import say, table
from course_lib.course.cli.fallback import CACHED_TOKENS, built_facts
from course_lib.course.cli.lookup import DEFAULT_CONTEXT, bits_text, bytes_of, file_of
from course_lib.course.cli.node import RESERVE
from course_lib.kit.units import bytes_text, count_text, plural
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import list_specs

IN_PART = "not supported"
"""Words of a refusal of something that a config asks for and a family does not have;
another refusal is about a wrong config, which nothing is counted of."""


def built_model(text: str | None) -> dict[str, Any] | None:
    """Return the counts of a file's model as `transformers` builds it, or None where a
    family of ours reads it, or there is no such file.

    Raises: ValueError as `built_facts` does.
    """
    known = not text or text.lower() in list_specs()
    file = None if known else file_of(text)
    if file is None:
        return None
    found = built_facts(file)
    if found is None and (why := refused_in_part(file)):
        found = built_facts(file, refused=why)
    return found


def refused_in_part(path: str) -> str:
    """Why a family that reads the file's type refuses this one, if it is for something
    that is not supported; else an empty text.
    """
    try:
        spec_from_hf_config(path)
    except RecursionError:
        return ""
    except ValueError as error:
        return str(error) if IN_PART in str(error) else ""
    return ""


def cache_of(built: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of a token and of a request, in 16 bits.

    Raises: ValueError, with what is known, where no cache was found.
    """
    per_token = built["cache_bytes_per_token"]
    if per_token is None:
        total = count_text(built["total_parameters"])
        raise ValueError(
            f"{built['model']}: {total} parameters, counted as {built['counted']}; no "
            "cache was found in a pass over a text, so none is given (course spec "
            "shows the parameters)"
        )
    return per_token, built["cache_bytes_fixed"]


def built_kv(
    built: Mapping[str, Any], context: int | None, batch: int, bits: float
) -> dict[str, Any]:
    """The cache of a built model, on the line through two short texts."""
    tokens, (per_token, fixed) = context or DEFAULT_CONTEXT, cache_of(built)
    width = bytes_of(bits) / 2
    request = round((fixed + tokens * per_token) * width)
    return {
        "model": built["model"],
        "counted": built["counted"],
        "context_tokens": tokens,
        "batch_requests": batch,
        "bits_per_element": bits,
        "further_bytes_per_token": per_token * width,
        "fixed_bytes_per_request": fixed * width,
        "bytes_per_request": request,
        "total_bytes": batch * request,
        "note": f"The cache was measured after {CACHED_TOKENS} and {CACHED_TOKENS + 1} "
        "tokens, and is a straight line from there: at most this much, where a layer "
        "has a longer window.",
    }


def built_fit(
    built: Mapping[str, Any],
    device: Hardware,
    context: int | None,
    bits: float,
    weight_bits: float | None,
) -> dict[str, Any]:
    """How many requests fit beside the weights of a built model on one device."""
    kept = built_kv(built, context, 1, bits)
    width = 16 if weight_bits is None else weight_bits
    weights = built["total_parameters"] * bytes_of(width)
    left = device.memory_bytes * (1 - RESERVE) - weights
    requests = max(0, int(left // kept["bytes_per_request"]))
    return {
        **{name: kept[name] for name in ("model", "counted", "context_tokens", "note")},
        "gpu": device.name,
        "device_memory_bytes": device.memory_bytes,
        "reserve_share": RESERVE,
        "total_parameters": built["total_parameters"],
        "bits_per_weight": width,
        "weight_bytes": weights,
        "bits_per_element": bits,
        "cache_bytes_per_request": kept["bytes_per_request"],
        "max_concurrency_requests": requests,
    }


def one_device(devices: int) -> None:
    """Refuse several devices: what each would hold is not known."""
    if devices > 1:
        raise typer.BadParameter(
            f"{devices}: 1 is allowed for a model that transformers builds, for what "
            "each of several devices would hold is not known",
            param_hint="--devices",
        )


def show_built_kv(facts: Mapping[str, Any]) -> None:
    """Print the cache of a built model."""
    tokens, batch = count_text(facts["context_tokens"]), facts["batch_requests"]
    rows = [
        ("a further token", bytes_text(facts["further_bytes_per_token"])),
        (
            "a request, whatever its length",
            bytes_text(facts["fixed_bytes_per_request"]),
        ),
        ("one request", bytes_text(facts["bytes_per_request"])),
        *[(plural(batch, "request"), bytes_text(facts["total_bytes"]))] * (batch > 1),
    ]
    bits = bits_text(facts["bits_per_element"])
    title = f"{facts['model']}: cache at {tokens} tokens, {bits} bits"
    table(("what", "#cache"), rows, title=title)
    say(f"Counted as {facts['counted']}.")
    say(facts["note"])
    if facts.get("gpu"):
        say(fit_text(facts["gpu"]))


def show_built_fit(facts: Mapping[str, Any]) -> None:
    """Print what fits of a built model."""
    say(fit_text(facts))
    say(f"Counted as {facts['counted']}; no time is given for it.")
    say(facts["note"])


def fit_text(facts: Mapping[str, Any]) -> str:
    """One sentence on what fits."""
    requests = plural(facts["max_concurrency_requests"], "request")
    weights = count_text(facts["total_parameters"])
    return (
        f"{facts['model']} on {facts['gpu']} "
        f"({bytes_text(facts['device_memory_bytes'])}, "
        f"{facts['reserve_share']:.0%} kept back): {weights} weights of "
        f"{bits_text(facts['bits_per_weight'])} bits, "
        f"{bytes_text(facts['weight_bytes'])}; a request of "
        f"{count_text(facts['context_tokens'])} tokens "
        f"{bytes_text(facts['cache_bytes_per_request'])}. There is room for {requests}."
    )
