"""Rotary positions from a config, in both spellings of `transformers`.

Up to version 4 a config says `rope_theta` and `rope_scaling`; from version 5 it says `rope_parameters`, flat
or, where layer kinds differ, one table for each of `layer_types`. Both give the same `RopeSpec`.
"""

from collections.abc import Mapping
from typing import Any

from course_lib.specs.frozen import FrozenMapping
from course_lib.specs.reader import Config
from course_lib.specs.schema import RopeSpec

LAYER_TYPES = ("full_attention", "sliding_attention")
KEEPS_OLD_CONTEXT = ("llama3", "yarn", "longrope")
NOT_SCALING = ("rope_theta", "partial_rotary_factor", "type", "rope_type")


def rope_spec(
    config: Config,
    head_dim: int,
    *,
    layer_type: str = "full_attention",
    pairing: str = "half",
    theta: float = 10_000.0,
    theta_field: str = "rope_theta",
) -> RopeSpec:
    """Return the rotary positions of one kind of layer.

    `theta` is the family's default, used where the config gives none; `theta_field` is its name in the older
    spelling.
    """
    table = _table(config, layer_type)
    inner = Config({"model_type": config.model_type, **table})
    fraction = inner.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0))
    if not 0 < fraction <= 1:
        raise ValueError(f"config field 'partial_rotary_factor': {fraction!r} is not above 0 and at most 1")
    return RopeSpec(
        theta=inner.number("rope_theta", config.number(theta_field, theta)),
        dim=max(1, int(head_dim * fraction)),
        pairing=pairing,
        scaling=_scaling(inner, table, config),
    )


def _table(config: Config, layer_type: str) -> Mapping[str, Any]:
    """Return the version 5 table of this kind of layer, or the older `rope_scaling`."""
    table = config.table("rope_parameters")
    if any(kind in table for kind in LAYER_TYPES):
        return Config({"model_type": config.model_type, **table}).table(layer_type)
    return table or config.table("rope_scaling")


def _scaling(inner: Config, table: Mapping[str, Any], config: Config) -> FrozenMapping | None:
    """Return the options of the context extension under their version 5 names, or None for plain RoPE."""
    kind = inner.word("rope_type", inner.word("type", "default"))
    if kind == "default":
        return None
    options = {key: value for key, value in table.items() if key not in NOT_SCALING and value is not None}
    if kind in KEEPS_OLD_CONTEXT:
        options.setdefault("original_max_position_embeddings", config.count("max_position_embeddings"))
    return FrozenMapping({"rope_type": kind, **options})
