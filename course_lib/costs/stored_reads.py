"""What a pass reads of weights in a file's own precision: bytes of a parameter by part,
and the average over what is read.

Terms:
    weights that a pass reads: without a looked-up embedding and the experts that no
        token picks -> bits_per_weight_read
"""

from fractions import Fraction

from course_lib.costs.devices import extra_params
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.params import layer_params, param_count
from course_lib.costs.stored import stored_weights
from course_lib.specs.records import ModelSpec, MoESpec, Quantisation


def bytes_by_part(
    spec: ModelSpec, quantisation: Quantisation | None
) -> dict[str, Fraction]:
    """Bytes of one parameter of each part, on average."""
    by_part, stored = param_count(spec).by_part, stored_weights(spec, quantisation)
    return {part: Fraction(stored[part], count) for part, count in by_part.items()}


def bits_per_weight_read(
    spec: ModelSpec, *, tokens: int, devices: int = 1, split: str = "heads"
) -> float:
    """Bits on average of the matrix weights that a pass of `tokens` reads: without a
    token embedding that is looked up, and with the experts that the tokens pick.

    Args: `devices`, `split` as in `costs.devices`: what each holds whole is read there.

    >>> from course_lib.specs.loader import load_spec
    >>> spec = load_spec("gpt-oss-20b")
    >>> [round(bits_per_weight_read(spec, tokens=n), 2) for n in (1, 4096)]
    [8.22, 4.96]
    """
    counts = extra_params(spec, devices, split=split)
    counts.update(param_count(spec).by_part)
    counts.update({"experts": -_unmet_experts(spec, tokens)})
    width = bytes_by_part(spec, spec.quantisation)
    looked_up = {"norm"} | ({"embedding"} if "head" in width else set())
    read = {part: n for part, n in counts.items() if n and part not in looked_up}
    return float(8 * sum(n * width[part] for part, n in read.items())) / sum(
        read.values()
    )


def _unmet_experts(spec: ModelSpec, tokens: int) -> float:
    """Weights of the routed experts that no token of the pass is expected to pick."""
    unmet = 0.0
    for layer in spec.layers:
        if isinstance(layer.ffn, MoESpec):
            whole = layer_params(layer, spec.width)["experts"]
            met = expected_active_experts(layer.ffn.experts, layer.ffn.top_k, tokens)
            unmet += whole * (1 - met / layer.ffn.experts)
    return unmet
