"""Costs of multi-token prediction (MTP) modules: parameters beside those of the model,
and tokens that a pass gives when it checks their drafts.

Symbols: d model width, D modules, a chance that a draft is accepted.

Terms:
    MTP parameters: a block, a matrix 2 d^2 and three norms for each module ->
        mtp_params
    tokens per pass, expected accepted tokens: what a pass with D drafts gives on
        average -> tokens_per_pass
"""

from course_lib.costs.arithmetic import Number, check_count
from course_lib.costs.norms import norm_params
from course_lib.costs.params import layer_params
from course_lib.specs.records import ModelSpec


def mtp_params(spec: ModelSpec, depth: int = 1) -> int:
    """Count the parameters that modules add to a model, whose embedding and head they
    share; each has a block like the model's last.

    *Equation*: D (layer + 2 d^2 + 3 d).

    >>> from course_lib.specs.loader import load_spec
    >>> mtp_params(load_spec("deepseek-v3"))
    11610067968
    """
    check_count(depth=depth)
    layer, width = spec.layers[-1], spec.width
    block = sum(layer_params(layer, width).values())
    return depth * (block + 2 * width * width + 3 * norm_params(layer.norm, width))


def tokens_per_pass(acceptance: Number, drafts: int) -> Number:
    """Tokens that a pass gives on average, if each draft is accepted with the same
    chance, whatever became of those before: 1 to D + 1.

    *Equation*: 1 + a + a^2 + ... + a^D.

    Raises: ValueError if `acceptance` is not between 0 and 1, or `drafts` below 1.

    *Source*: Leviathan et al. 2023, eq. 1, arXiv:2211.17192.

    >>> tokens_per_pass(0.5, 2)
    1.75
    """
    check_count(drafts=drafts)
    if not 0 <= acceptance <= 1:
        raise ValueError(f"acceptance={acceptance}: allowed are numbers from 0 to 1")
    return sum(acceptance**i for i in range(drafts + 1))
