"""What devices that share a model send each other: all-reduces of tensor parallelism,
sends of pipeline parallelism, all-to-alls of expert parallelism.

Tensor parallelism: each sublayer's last matrix is split by rows, so every device ends
it with a partial sum of the whole [tokens, width] output, and an all-reduce adds the D
partial sums. Sublayers that run side by side (a parallel block) add theirs before it:
they share one.

Not counted: launching a collective, the exchange at the embedding and the head, and
overlap with arithmetic. `collectives` has the formulas of one collective.

Source: Narayanan et al. 2021, arXiv 2104.04473, section 2.3 (two all-reduces a layer
    forward); Lepikhin et al. 2020, arXiv 2006.16668, section 3.

Terms:
    tensor-parallel traffic: what one device sends in a forward pass ->
        tensor_parallel_bytes, tensor_parallel_seconds
    pipeline-parallel traffic: the residual stream handed from stage to stage ->
        pipeline_traffic
    expert-parallel traffic, dispatch and combine: tokens sent to the devices of their
        experts, and back -> expert_parallel_traffic
"""

from course_lib.costs.arithmetic import check_at_most, check_count, check_positive
from course_lib.costs.collectives import (
    Link,
    Traffic,
    all_to_all,
    point_to_point,
    ring_all_reduce,
    tree_all_reduce,
)
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import LayerSpec, ModelSpec, MoESpec


def all_reduces(layer: LayerSpec) -> int:
    """All-reduces of one layer in a forward pass: one a sublayer, one in all if the
    sublayers run side by side.
    """
    sublayers = sum(part is not None for part in (layer.mixer, layer.cross, layer.ffn))
    return 1 if layer.norm_layout.startswith("parallel") else sublayers


def tensor_parallel_traffic(
    spec: ModelSpec,
    tokens: int,
    *,
    devices: int,
    bytes_per_element: float = 2,
    tree: bool = False,
) -> Traffic:
    """What each device sends in a forward pass whose matrices are split over all.

    *Equation*: the all-reduces of all layers, one after the other, each of tokens width
        bytes_per_element.

    Args: `tokens` that pass through the stack, over all sequences; `devices` D;
        `bytes_per_element` of an activation; `tree` in place of the ring.
    Raises: ValueError if the model has an encoder beside its decoder (their tokens
        differ), a count is no whole number of at least 1, or a byte width is not above
        0.
    """
    if spec.encoder:
        raise ValueError("spec.encoder: a model of one stack is allowed")
    check_count(tokens=tokens)
    check_positive(bytes_per_element=bytes_per_element)
    count = sum(n * all_reduces(layer) for layer, n in unique_layers(spec.layers))
    one = tree_all_reduce if tree else ring_all_reduce
    return one(tokens * spec.width * bytes_per_element, devices).times(count)


def tensor_parallel_bytes(spec: ModelSpec, tokens: int, **options) -> float:
    """Bytes each device sends in a forward pass whose matrices are split over all: sum
    over layers of all_reduces(layer) 2 (D - 1) / D tokens width bytes_per_element.
    Arguments and errors are those of `tensor_parallel_traffic`.
    """
    return tensor_parallel_traffic(spec, tokens, **options).sent_bytes


def tensor_parallel_seconds(
    spec: ModelSpec, tokens: int, link: Link, **options
) -> float:
    """Seconds on the links of a forward pass, by ring or by tree, whichever is shorter.
    Arguments and errors are those of `tensor_parallel_traffic`.
    """
    return min(
        tensor_parallel_traffic(spec, tokens, tree=tree, **options).seconds(link)
        for tree in (False, True)
    )


def pipeline_traffic(
    spec: ModelSpec, tokens: int, *, stages: int, bytes_per_element: float = 2
) -> Traffic:
    """What a pass sends from stage to stage, in a row: the result waits for all of it.
    Each of the D - 1 stages before the last sends 1 / (D - 1) of it.

    *Equation*: (D - 1) sends of tokens width bytes_per_element.

    Args: `tokens` of the pass (of one micro-batch); `stages` D of whole layers;
        `bytes_per_element` of an activation.
    Raises: ValueError if the model has an encoder, a count is no whole number of at
        least 1, there are more stages than layers, or a byte width is not above 0.
    """
    if spec.encoder:
        raise ValueError("spec.encoder: a model of one stack is allowed")
    check_count(tokens=tokens, stages=stages)
    check_at_most("layers", len(spec.layers), stages=stages)
    check_positive(bytes_per_element=bytes_per_element)
    return point_to_point(tokens * spec.width * bytes_per_element).times(stages - 1)


def expert_parallel_traffic(
    spec: ModelSpec,
    tokens: int,
    *,
    devices: int,
    local: float | None = None,
    copies: float | None = None,
    dispatch_bytes: float = 2,
    combine_bytes: float = 2,
) -> Traffic:
    """What each device sends in a forward pass whose routed experts are spread over
    all: per mixture layer an all-to-all to the experts and one back.

    *Equation*: sum over mixture layers of (1 - local) tokens / D copies width
        (dispatch_bytes + combine_bytes).

    Args: `tokens` of the pass, over all devices, spread evenly; `devices` D; `local`
        share of the copies that stay, 1 / D if experts are picked evenly and none is
        held twice; `copies` of a token that are sent, its `top_k` unless the router is
        held to fewer places; `dispatch_bytes`, `combine_bytes` of a number on its way
        out and back.
    Raises: ValueError if the model has no mixture layer, `devices` or `tokens` is no
        whole number of at least 1, or a width, share or count is out of its range.
    """
    check_count(tokens=tokens, devices=devices)
    check_positive(dispatch_bytes=dispatch_bytes, combine_bytes=combine_bytes)
    local = 1 / devices if local is None else local
    mixtures = [
        (layer.ffn, n)
        for layer, n in unique_layers(spec.layers)
        if isinstance(layer.ffn, MoESpec)
    ]
    if not mixtures:
        raise ValueError(f"spec={spec.name!r}: a mixture of experts is allowed")
    total = Traffic(0, 0)
    for moe, n in mixtures:
        sent = tokens / devices * (moe.top_k if copies is None else copies) * spec.width
        there = all_to_all(sent * dispatch_bytes, local=local)
        back = all_to_all(sent * combine_bytes, local=local)
        total += (there + back).times(n)
    return total
