"""What devices that share a model send each other: the all-reduces of tensor
parallelism.

Each sublayer's last matrix is split by rows, so every device ends it with a partial
sum of the whole [tokens, width] output, and an all-reduce adds the D partial sums.
Sublayers that run side by side (a parallel block) add theirs before it: they share one.

Not counted: the fixed time of starting a collective, which decides at small messages,
the exchange at the embedding and the head, and overlap with arithmetic.

Source: Narayanan et al. 2021, arXiv 2104.04473, section 2.3 (two all-reduces a layer
    forward); NVIDIA, nccl-tests, doc/PERFORMANCE.md (2 (D - 1) / D).

Terms:
    all-reduce, ring all-reduce: each device ends with the sum of what all held ->
        all_reduce_bytes
    tensor-parallel traffic: what one device sends in a forward pass ->
        tensor_parallel_bytes
"""

from course_lib.costs.arithmetic import Number, check_count, check_positive
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import LayerSpec, ModelSpec


def all_reduce_bytes(size_bytes: Number, devices: int) -> Number:
    """Bytes that each of `devices` sends to add up a tensor that each holds in full.

    *Equation*: 2 (D - 1) / D size: the pieces go round once to be summed and once to be
        handed out.

    Returns: bytes out of one device, 0 for one device alone.
    Raises: ValueError if `size_bytes` is not above 0, or `devices` is no whole number
        of at least 1.

    >>> all_reduce_bytes(800, devices=8), all_reduce_bytes(800, devices=1)
    (1400.0, 0.0)
    """
    check_positive(size_bytes=size_bytes)
    check_count(devices=devices)
    return 2 * (devices - 1) / devices * size_bytes


def all_reduces(layer: LayerSpec) -> int:
    """All-reduces of one layer in a forward pass: one a sublayer, one in all if the
    sublayers run side by side.
    """
    sublayers = sum(part is not None for part in (layer.mixer, layer.cross, layer.ffn))
    return 1 if layer.norm_layout.startswith("parallel") else sublayers


def tensor_parallel_bytes(
    spec: ModelSpec, tokens: int, *, devices: int, bytes_per_element: float = 2
) -> float:
    """Bytes each device sends in a forward pass whose matrices are split over all.

    *Equation*: sum over layers of all_reduces(layer) 2 (D - 1) / D tokens width
        bytes_per_element.

    Args: `tokens` that pass through the stack, over all sequences; `devices` D;
        `bytes_per_element` of an activation.
    Returns: bytes out of one device.
    Raises: ValueError if the model has an encoder beside its decoder (their tokens
        differ), a count is no whole number of at least 1, or a byte width is not above
        0.
    """
    if spec.encoder:
        raise ValueError("spec.encoder: a model of one stack is allowed")
    check_count(tokens=tokens)
    check_positive(bytes_per_element=bytes_per_element)
    each = all_reduce_bytes(tokens * spec.width * bytes_per_element, devices)
    return each * sum(
        count * all_reduces(layer) for layer, count in unique_layers(spec.layers)
    )
