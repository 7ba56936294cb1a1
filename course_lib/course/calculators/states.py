"""Calculators of recurrent states: bytes against keys and values, and the memory
horizon of a decay.
"""

from collections.abc import Mapping

from course_lib.costs.arithmetic import round_up
from course_lib.costs.state_or_cache import (
    crossover_tokens,
    horizon_tokens,
    keys_instead_bytes,
    longest_horizon,
    share_left,
    state_bytes,
    state_layers,
)
from course_lib.course.calculators.against import against_context
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def keeps_a_state(spec: ModelSpec) -> bool:
    """Whether some layer of a model keeps a state."""
    return bool(state_layers(spec))


def state_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """The state of a batch, the keys and values of attention in its place, and where
    they are equal.
    """
    widths = {"bytes_per_element": s["bytes_per_element"]}
    rival = {"kv_heads": s["rival_kv_heads"], "head_dim": s["rival_head_dim"], **widths}
    wide = {"state_bytes_per_element": s["state_bytes"]}
    state = Line(
        name="state_held",
        letter=r"\text{state}",
        value=state_bytes(model.spec, batch=s["batch"], **widths, **wide),
        unit="bytes",
        label="State",
    )
    cache = Line(
        name="cache",
        letter=r"\text{cache}",
        value=keys_instead_bytes(model.spec, s["tokens"], batch=s["batch"], **rival),
        unit="bytes",
        label="Keys and values instead",
    )
    crossover = Line(
        name="crossover",
        letter="n^{*}",
        value=round_up(s["tokens"] * state.symbol / cache.symbol),
        unit="count",
        label="Tokens at which both are equal",
    )
    times = Line(
        name="times",
        letter=r"\text{ratio}",
        value=cache.symbol / state.symbol,
        unit="number",
        label="Keys and values over state",
        printed=False,
    )
    return state, cache, crossover, times


def crossover(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """The crossover length, by `crossover_tokens`."""
    return crossover_tokens(
        spec,
        kv_heads=v["rival_kv_heads"],
        head_dim=v["rival_head_dim"],
        bytes_per_element=v["bytes_per_element"],
        state_bytes_per_element=v["state_bytes"],
    )


STATE_OR_CACHE = Calculator(
    name="state-or-cache",
    title="State against keys and values",
    question="From which length on does a state take less memory than a cache?",
    model="qwen3.5-35b-a3b",
    offers=keeps_a_state,
    inputs=(
        "batch",
        "tokens",
        "rival_kv_heads",
        "rival_head_dim",
        "bytes_per_element",
        "state_bytes",
    ),
    defaults={"rival_kv_heads": 2, "rival_head_dim": 256},
    lines=state_lines,
    by_function=crossover,
    answer="crossover",
    plot=against_context(
        Series("cache", "keys and values instead"),
        Series("state_held", "state"),
        caption="State, and keys and values in its place, against context",
        crossing=Crossing(
            a="cache",
            b="state_held",
            label="equal",
            found="From {x} tokens on, the keys and values would take more memory.",
            never="Up to {high} tokens the keys and values would take less memory.",
            always="The keys and values would take more memory at any context shown.",
        ),
    ),
    findings=(
        Finding(
            text="The states of {batch} × {tokens} tokens take {state_held}. Attention "
            "in the place of those layers would keep {cache}, {times} times as much; "
            "both are equal at {crossover} tokens."
        ),
    ),
    worked=(
        {},
        {"state_bytes": 16},
        {"rival_kv_heads": 8, "rival_head_dim": 128},
        {"model": "mamba2-2.7b", "rival_kv_heads": 8, "rival_head_dim": 128},
        {"model": "mamba-2.8b", "rival_kv_heads": 8, "rival_head_dim": 128},
        {"model": "jamba-v0.1", "rival_kv_heads": 8, "rival_head_dim": 128},
        {"model": "kimi-linear-48b-a3b", "rival_kv_heads": 8, "rival_head_dim": 128},
        {"model": "rwkv-4-14b", "rival_kv_heads": 8, "rival_head_dim": 128},
    ),
)


def horizon_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """What is left after some tokens, the horizon, and the longest one that the stored
    numbers allow.
    """
    left = Line(
        name="left",
        letter=r"\text{left}",
        value=share_left(s["decay"], s["tokens"]),
        unit="share",
        label="Left after the context",
    )
    horizon = Line(
        name="horizon",
        letter=r"n_{\varepsilon}",
        value=horizon_tokens(s["decay"], s["kept_share"]),
        unit="number",
        label="Tokens until only that share is left",
    )
    longest = Line(
        name="longest",
        letter=r"n_{\max}",
        value=longest_horizon(s["significant_bits"], s["kept_share"]),
        unit="number",
        label="Longest horizon of a stored decay below 1",
    )
    least = Line(
        name="least",
        letter="",
        value=s["kept_share"],
        unit="share",
        printed=False,
    )
    gone = Line(
        name="gone", letter="", value=1 - left.symbol, unit="share", printed=False
    )
    lost = Line(
        name="lost", letter="", value=1 - s["kept_share"], unit="share", printed=False
    )
    return left, horizon, longest, least, gone, lost


def memory_horizon(spec: None, v: Mapping[str, float]) -> float:
    """The horizon, by `horizon_tokens`."""
    return horizon_tokens(v["decay"], v["kept_share"])


MEMORY_HORIZON = Calculator(
    name="memory-horizon",
    title="Memory horizon of a decay",
    question="After how many tokens has a state forgotten?",
    inputs=("tokens", "decay", "kept_share", "significant_bits"),
    lines=horizon_lines,
    by_function=memory_horizon,
    answer="horizon",
    plot=Plot(
        x="tokens",
        low=1,
        high=131_072,
        series=(Series("gone", "forgotten"), Series("lost", "counts as forgotten")),
        caption="Share of a memory that is gone against the tokens after it",
        crossing=Crossing(
            a="gone",
            b="lost",
            label="the horizon",
            found="{x} tokens later, less than {least} is left.",
            never="After {high} tokens more than {least} is still left.",
            always="One token leaves less than {least}.",
        ),
    ),
    findings=(
        Finding(
            text="After {tokens} tokens {left} is left; {least} is left after "
            "{horizon} tokens. Stored in {significant_bits} significant bits the decay "
            "would be rounded to 1 and never forget, or forget within {longest} "
            "tokens.",
            a="horizon",
            b="longest",
        ),
        Finding(
            text="After {tokens} tokens {left} is left; {least} is left after "
            "{horizon} tokens. In {significant_bits} significant bits the longest "
            "horizon is {longest} tokens."
        ),
    ),
    worked=(
        {},
        {"decay": 0.96875},
        {"decay": 0.9},
        {"decay": 0.99998},
        {"decay": 0.9, "kept_share": 0.01},
    ),
)
