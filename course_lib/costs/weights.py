"""Bytes of a model's weights: of one copy, and on one of several devices.

Terms:
    weight memory, model size: bytes of all parameters -> weight_bytes
"""

from collections.abc import Mapping

from course_lib.costs.arithmetic import Number, check_positive
from course_lib.costs.devices import device_params, extra_params
from course_lib.costs.params import param_count
from course_lib.specs.records import ModelSpec

Width = Number | Mapping[str, Number]
"""Bytes of a weight: one number for all, or one for each part of `param_count`."""


def weight_bytes(spec: ModelSpec, bytes_per_weight: Width = 2) -> Number:
    """Bytes that all parameters occupy: param_count(spec).total * bytes_per_weight.

    Args: `bytes_per_weight` for all parts alike, or by part (`costs.stored_reads`
        gives a file's own).
    Raises: ValueError if a width is not above 0, or a part has none.

    >>> from course_lib.costs.stored_reads import bytes_by_part
    >>> from course_lib.specs.loader import load_spec
    >>> spec = load_spec("gpt-oss-120b")  # its file has experts in MXFP4
    >>> weight_bytes(spec, bytes_by_part(spec, spec.quantisation))
    65248815744
    """
    count = param_count(spec)
    if isinstance(bytes_per_weight, Mapping):
        return _by_part(count.by_part, bytes_per_weight)
    check_positive(bytes_per_weight=bytes_per_weight)
    return count.total * bytes_per_weight


def _by_part(counts: Mapping[str, Number], widths: Mapping[str, Number]) -> Number:
    """The sum over the parts of a count and its width, whole where it is."""
    for part in counts:
        if part not in widths:
            raise ValueError(f"bytes_per_weight={widths!r}: {part!r} is wanted")
        check_positive(**{part: widths[part]})
    total = sum(count * widths[part] for part, count in counts.items())
    return int(total) if total == int(total) else float(total)


def device_weight_bytes(
    spec: ModelSpec,
    devices: Number = 1,
    *,
    split: str = "heads",
    bytes_per_weight: Width = 2,
) -> Number:
    """Bytes of weights on one device: device_params * bytes_per_weight, or part by part
    where the parts differ in width.

    Raises: ValueError as `device_params` and `weight_bytes` do.
    """
    if isinstance(bytes_per_weight, Mapping):
        copies = extra_params(spec, devices, split=split)
        copies.update(param_count(spec).by_part)
        return _by_part(copies, bytes_per_weight) / devices
    check_positive(bytes_per_weight=bytes_per_weight)
    return device_params(spec, devices, split=split) * bytes_per_weight
