"""How long a request takes: one prefill, then one decode step a token at a growing
context.

Symbols: n_in prompt tokens, n_out new tokens.

Terms:
    request latency: prefill, then one decode step for each further token, at a growing
        context -> request_latency
"""

from collections.abc import Callable

from course_lib.costs.arithmetic import (
    Number,
    check_count,
    check_positive,
    is_symbol,
)
from course_lib.costs.hardware import Hardware
from course_lib.costs.roofline import decode_roofline, prefill_time
from course_lib.costs.work import RooflineTime
from course_lib.specs.records import ModelSpec, reach_of


def request_seconds(
    *,
    prefill_s: Number,
    tokens_in: Number,
    tokens_out: Number,
    step_s: Number,
    step_s_per_token: Number,
) -> Number:
    """Time of a request whose decode step grows in a straight line with the context.

    *Equation*: prefill + (n_out - 1) (step_s + step_s_per_token (n_in + n_out / 2)):
    the steps run at contexts n_in + 1 .. n_in + n_out - 1, whose mean is n_in + n_out /
    2.

    Args: `prefill_s`; `tokens_in`, `tokens_out` n_in and n_out; `step_s` seconds of a
        step apart from its context; `step_s_per_token` seconds each token of context
        adds. Symbols are welcome.
    Returns: seconds.
    Raises: ValueError if a token count is no whole number of at least 1, or a time is
        not above 0.
    """
    check_count(tokens_in=tokens_in, tokens_out=tokens_out)
    check_positive(
        prefill_s=prefill_s, step_s=step_s, step_s_per_token=step_s_per_token
    )
    return prefill_s + (tokens_out - 1) * (
        step_s + step_s_per_token * (tokens_in + tokens_out / 2)
    )


def request_latency(
    spec: ModelSpec,
    hardware: Hardware,
    *,
    tokens_in: int,
    tokens_out: int,
    batch: int = 1,
    **options,
) -> float:
    """Seconds from a prompt to its last new token: one prefill, then one step a token
    at a growing context.

    *Equation*: T_prefill(n_in) + sum for i = 1 .. n_out - 1 of T_step(n_in + i). The
    prefill gives the first new token, so n_out tokens take n_out - 1 steps.

    Args: `tokens_in`, `tokens_out` (of an encoder-decoder, the source's tokens and the
        target's, whose first prompt is one start token); `batch` requests run in step
        together; `options` that `prefill_roofline` and `decode_roofline` share:
        `devices`, `bytes_per_weight`, `bytes_per_element`.
    Returns: seconds.
    Raises: ValueError if a count is no whole number of at least 1, or a byte width is
        not above 0.
    Cost: steps are not summed one by one, see `sum_of_steps`.
    """
    check_count(tokens_in=tokens_in, tokens_out=tokens_out)
    options |= {"batch": batch} | ({"source_tokens": tokens_in} if spec.encoder else {})
    prompt = 1 if spec.encoder else tokens_in

    def step(context: int) -> RooflineTime:
        return decode_roofline(spec, hardware, context=context, **options)

    steps_s = sum_of_steps(step, prompt + 1, prompt + tokens_out - 1, bends_of(spec))
    return prefill_time(spec, hardware, prompt, **options) + steps_s


def bends_of(spec: ModelSpec) -> set[int]:
    """Contexts from which on a layer attends to no more keys: its window, or what its
    indexer picks. Between them a step's costs are straight lines in the context.

    >>> from course_lib.specs.loader import load_spec
    >>> [bends_of(load_spec(name)) for name in ("gemma-3-27b", "deepseek-v3.2")]
    [{1024}, {2048}]
    """
    return {reach_of(layer.mixer) for layer in spec.layers} - {None}


def sum_of_steps(
    step: Callable[[Number], RooflineTime],
    first: Number,
    last: Number,
    bends: set[Number] = frozenset(),
) -> Number:
    """Sum of step times over the contexts first .. last, by straight pieces.

    Both times of a step are straight lines in the context between bends, so a stretch
    costs its length times its mean. Where compute and memory change places inside a
    stretch, the stretch is cut there.

    Args: `step` from a context to a `RooflineTime`; `first`, `last` contexts (none if
        last < first); `bends` at which a layer attends to no more keys.
    Returns: seconds, equal to the sum taken one by one; for symbols that sum, over t.
    """
    if is_symbol(first) or is_symbol(last):
        from sympy import Sum, Symbol

        context = Symbol("t", positive=True, integer=True)
        return Sum(step(context).time_s, (context, first, last))
    if last < first:
        return 0.0
    cut = next((w for w in sorted(bends) if first <= w < last), None)
    if cut is not None:
        return sum_of_steps(step, first, cut, bends) + sum_of_steps(
            step, cut + 1, last, bends
        )
    start, end = step(first), step(last)
    if start.bound == end.bound or last - first < 2:
        return (last - first + 1) * (start.time_s + end.time_s) / 2
    middle = (first + last) // 2
    return sum_of_steps(step, first, middle, bends) + sum_of_steps(
        step, middle + 1, last, bends
    )
