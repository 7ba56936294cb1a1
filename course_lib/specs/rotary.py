"""Rotary positions from a config, in both spellings of `transformers`.

Up to version 4 a config says `rope_theta` and `rope_scaling`; from version 5 it says
`rope_parameters`, flat or, where layer kinds differ, one table for each of
`layer_types`. Both give the same `RopeSpec`.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from course_lib.specs.frozen import FrozenMapping
from course_lib.specs.reader import Config
from course_lib.specs.records import RopeSpec

LAYER_TYPES = ("full_attention", "sliding_attention")
KEEPS_OLD_CONTEXT = ("llama3", "yarn", "longrope")
GROWS_BY_RATIO = ("yarn", "longrope")
NOT_OPTIONS = ("rope_theta", "partial_rotary_factor", "type", "rope_type")
ORIGINAL = "original_max_position_embeddings"
GROWTH = "llama_4_scaling_beta"
"""Of a query's growth with its position, which a table may have beside any scaling, and
beside none (Ministral 3).
"""


def rope_spec(
    config: Config,
    head_dim: int,
    *,
    layer_type: str = "full_attention",
    pairing: str = "rotate_half",
    theta: float = 10_000.0,
    fraction: float = 1.0,
) -> RopeSpec:
    """Return the rotary positions of one kind of layer.

    Args:
        config: the config. head_dim: the width of a head, in elements.
        layer_type: which table to read where `rope_parameters` has one for each kind of
            layer.
        pairing: which elements of a head turn together; a fact of the family, not of
            the config.
        theta, fraction: the family's base and its rotated share of a head, where the
            config gives none.

    Raises:
        ValueError: if a field is of the wrong kind or out of range (the message names
        it).
    """
    table = _table(config, layer_type)
    inner = Config({**table, "model_type": config.model_type})
    share = inner.number(
        "partial_rotary_factor",
        config.number("partial_rotary_factor", fraction, above=0),
    )
    if share > 1:
        raise ValueError(f"config field 'partial_rotary_factor': {share!r} is above 1")
    kind = inner.word("rope_type", inner.word("type", "default"))
    kind = "default" if kind == "mrope" else kind  # positions of images, plain angles
    options = {} if kind == "default" else _options(kind, table, config)
    if kind == "default" and table.get(GROWTH):
        options = {name: _option(name, table.get(name)) for name in (GROWTH, ORIGINAL)}
    dim = max(1, int(head_dim * share))
    if dim == head_dim and dim % 2:
        raise ValueError(
            f"config field 'head_dim': {dim} is odd, and RoPE turns pairs; an even "
            "width of a head is wanted"
        )
    if kind == "proportional":
        # Every pair of the head has a speed, and that of the slowest is zero.
        dim = head_dim
        options["partial_rotary_factor"] = share
    return RopeSpec(
        theta=inner.number(
            "rope_theta", config.number("rope_theta", theta, above=0), above=0
        ),
        dim=dim,
        pairing=pairing,
        scaling=FrozenMapping({"rope_type": kind, **options})
        if options or kind != "default"
        else None,
    )


def _table(config: Config, layer_type: str) -> Mapping[str, Any]:
    """Return the version 5 table of this kind of layer, or the older `rope_scaling`."""
    table = config.table("rope_parameters")
    if any(kind in table for kind in LAYER_TYPES):
        return config.nested("rope_parameters", config.model_type).table(layer_type)
    return table or config.table("rope_scaling")


def _options(kind: str, table: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Return the options of a context extension under their version 5 names, and with
    them what `transformers` reads elsewhere in the config.
    """
    options = {
        key: _option(key, value)
        for key, value in table.items()
        if key not in NOT_OPTIONS and value is not None
    }
    if kind in KEEPS_OLD_CONTEXT:
        # Phi-3 has it beside a flat table, and there it counts before the table's.
        given = options.get(ORIGINAL) or config.count("max_position_embeddings")
        nested = any(key in config.table("rope_parameters") for key in LAYER_TYPES)
        options[ORIGINAL] = given if nested else config.count(ORIGINAL, given)
    if kind == "dynamic":
        # The length trained on is the config's, whatever the table says.
        options[ORIGINAL] = config.count("max_position_embeddings")
    if kind in GROWS_BY_RATIO and "factor" not in options:
        longest = config.count("max_position_embeddings")
        options["factor"] = longest / options[ORIGINAL]
    return options


def _option(key: str, value: Any) -> Any:
    """Return a scaling option: a number, a word, or a list of numbers."""
    if isinstance(value, list | tuple) and all(
        isinstance(item, Real) for item in value
    ):
        return tuple(value)
    if isinstance(value, Real | str):
        return value
    raise ValueError(
        f"RoPE option {key!r}: {value!r} is not a number, a word or a list of numbers"
    )
