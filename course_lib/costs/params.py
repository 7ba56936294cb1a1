"""Parameter count: how many parameters a model has, how many are active for one token,
and where they are.

Each mechanism counts its own (`mixers`, `feed_forward`, `norms`, `ends`); this module
sums over the layers. A tied table is counted once. The total equals the number of
parameters of the `transformers` model of the same config.

Terms:
    parameter count, total parameters, active parameters: numbers in all weights, and in
        those that work on one token -> param_count
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.costs.ends import end_params
from course_lib.costs.feed_forward.dispatch import ffn_params, idle_params
from course_lib.costs.mixers.dispatch import mixer_params, mixer_part
from course_lib.costs.norms import block_norms, norm_params
from course_lib.costs.sides import side_params
from course_lib.costs.stack import unique_layers
from course_lib.specs.frozen import FrozenMapping
from course_lib.specs.records import LayerSpec, ModelSpec, PartSpec


@dataclass(frozen=True, kw_only=True)
class ParamCount:
    """Counts of parameters: `by_part` sums to `total`; `active` is without the experts
    a token skips. `beside` counts a wrapper's other parts (0: named, not counted), and
    `whole` is `total` with them.

    Parts: "embedding" (tokens, positions, patches), "attention", "cross_attention",
    "state" (mixers with a recurrent state), "ffn", "experts" (routed),
    "shared_experts", "router", "norm", "head" (nothing where it is tied), "side" (what
    stands beside these), and "vision" for a whole image tower.
    """

    total: int
    active: int
    by_part: Mapping[str, int]
    beside: Mapping[str, int]
    whole: int


def param_count(spec: ModelSpec) -> ParamCount:
    """Count the parameters of a model.

    *Equation*: active = total - (1 - top_k / e) * (routed experts), summed over the
    layers. Embedding and head are in both counts; authors who leave the embedding out
    of "active" (gpt-oss, GLM-4.5) subtract it.

    Args:
        spec: the model.
    Returns:
        Counts of parameters.
    Raises:
        ValueError: naming a record or a word that has no costs.
    Cost: proportional to the number of different layers, not of layers.
    Source: the layers are those of the `transformers` classes named in
        `course_lib.specs.families`.

    >>> from course_lib.specs.loader import load_spec
    >>> count = param_count(load_spec("mixtral-8x7b"))
    >>> count.total, count.active
    (46702792704, 12879925248)
    """
    parts: Counter[str] = Counter()
    idle = 0
    for stack in (spec.layers, spec.encoder):
        for layer, times in unique_layers(stack):
            for part, count in layer_params(layer, spec.width).items():
                parts[part] += times * count
            idle += times * idle_params(layer.ffn, spec.width)
    parts.update(end_params(spec))
    parts["side"] += side_params(spec.sides)
    if spec.vision is not None:
        parts["vision"] = param_count(spec.vision).total
    total = sum(parts.values())
    by_part = FrozenMapping({part: count for part, count in parts.items() if count})
    beside = {part.name: part_params(part) for part in spec.beside}
    return ParamCount(
        total=total,
        active=total - idle,
        by_part=by_part,
        beside=FrozenMapping(beside),
        whole=total + sum(beside.values()),
    )


def part_params(part: PartSpec) -> int:
    """Count a part beside a wrapper's language model: 0 where it is only named."""
    return part.params if part.spec is None else param_count(part.spec).total


def layer_params(layer: LayerSpec, width: int) -> Counter[str]:
    """Count one block's parameters by part."""
    parts = Counter({"norm": block_norms(layer) * norm_params(layer.norm, width)})
    parts[mixer_part(layer.mixer)] = mixer_params(layer.mixer, width)
    if layer.cross is not None:
        parts["cross_attention"] = mixer_params(layer.cross, width)
    parts.update(ffn_params(layer.ffn, width))
    parts["side"] += side_params(layer.sides)
    return parts
