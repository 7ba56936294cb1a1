"""The options of RoPE scaling: which of them a type takes, and which values are
allowed.

A type's function says which options it has: a keyword without a default must be given.
`length` is no option of a config, but what a forward pass sees.

Terms:
    RoPE scaling options: which options a type takes, and their allowed values ->
        check_scaling
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any


def check_scaling(
    kind: str,
    function: Callable,
    options: Mapping[str, Any],
    dim: int,
    theta: int | float,
) -> None:
    """Check the options of one type of RoPE scaling.

    Args:
        kind: the type's name. function: computes it; its keywords are the options.
        options: what a config gives, under `transformers`' names.
        dim: coordinates that turn. theta: the base.

    Raises:
        ValueError: an option is missing, unknown or out of range; or two options do not
            go together; or `dim` or `theta` is too small for the type.
    """
    _check_names(kind, function, options)
    for name, value in options.items():
        allowed, words = RULES[name]
        if not allowed(value):
            raise ValueError(f"{name}={value!r}: allowed are {words}")
    for low, high, default, may_equal in (
        ("low_freq_factor", "high_freq_factor", (0.0, math.inf), False),
        ("beta_slow", "beta_fast", (1.0, 32.0), True),  # equal in Kimi K2: no ramp
    ):
        least, most = options.get(low, default[0]), options.get(high, default[1])
        if not least < most and not (may_equal and least == most):
            word = "from" if may_equal else "above"
            raise ValueError(
                f"{high}={most!r}: allowed are numbers {word} {low}={least!r}"
            )
    for name in ("short_factor", "long_factor"):
        if name in options and len(options[name]) != dim // 2:
            raise ValueError(
                f"{name} has {len(options[name])} numbers: allowed is one a pair, "
                f"{dim // 2} of dim={dim}"
            )
    if kind == "dynamic" and dim < 4:
        raise ValueError(f"dim={dim}: allowed for dynamic scaling are numbers from 4")
    if kind == "yarn" and theta <= 1:
        raise ValueError(f"theta={theta}: allowed for yarn are numbers above 1")


def _check_names(kind: str, function: Callable, options: Mapping[str, Any]) -> None:
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "length"
    }
    for name in options:
        if name not in parameters:
            raise ValueError(
                f"{name}={options[name]!r}: allowed with rope_type={kind!r} are "
                f"{', '.join(parameters)}"
            )
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in options:
            raise ValueError(f"{name} is missing: rope_type={kind!r} needs it")


def _number(value: Any) -> bool:
    """A finite number, and no bool."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _positives(value: Any) -> bool:
    return isinstance(value, tuple) and all(_positive(number) for number in value)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "factor": (lambda v: _number(v) and v >= 1, "numbers from 1"),
    "original_max_position_embeddings": (
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 2,
        "whole numbers from 2",
    ),
    "attention_factor": (_positive, "positive numbers"),
    "beta_fast": (_positive, "positive numbers"),
    "beta_slow": (_positive, "positive numbers"),
    "mscale": (lambda v: _number(v) and v >= 0, "numbers from 0"),
    "mscale_all_dim": (lambda v: _number(v) and v >= 0, "numbers from 0"),
    "truncate": (lambda v: isinstance(v, bool), "True and False"),
    "low_freq_factor": (_positive, "positive numbers"),
    "high_freq_factor": (_positive, "positive numbers"),
    "short_factor": (_positives, "tuples of positive numbers"),
    "long_factor": (_positives, "tuples of positive numbers"),
    "partial_rotary_factor": (
        lambda v: _number(v) and 0 < v <= 1,
        "numbers above 0, up to 1",
    ),
}
