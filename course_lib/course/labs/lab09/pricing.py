"""Lab 9, exercise 1: what a hybrid stack costs, and the most attention that fits.

Symbols: d model width, h heads, g KV heads, k head width, f FFN width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import counted
from course_lib.course.labs.lending import helped

HINTS = {
    "three": "Return a dict with just the names params, flops and cache_bytes.",
    "q_heads": "The cache holds one key and one value for each *KV* head: g, not h.",
    "kv_once": "A token leaves a key *and* a value: twice g k numbers.",
    "growing_state": "A state has one size, whatever the context: no factor context.",
    "no_state": "Layers with a state keep something too: h k k sums and the last "
    "inputs of their convolution.",
    "half_state": "The sums of a state are kept in float32, 4 bytes each; its last "
    "inputs, keys and values in 2.",
    "no_inputs": "A convolution keeps its last inputs: as many tokens as it is wide, "
    "of each channel, 2 bytes each.",
    "wide_window": "Between two steps a window of w needs w - 1 tokens: the query "
    "brings the last one itself. And never more than the context has.",
    "no_window": "In a w layer a token attends to at most `window` tokens.",
    "tied_twice": "A tied table serves at both ends and is counted once.",
    "untied_once": "Without tying there are two tables: one to look up, one to score.",
    "looked_up": "A look-up multiplies nothing: the table costs FLOPs at the output "
    "alone.",
    "no_scores": "Scoring the vocabulary is a product with m d weights: 2 m d FLOPs.",
    "once": "A multiply-add is two FLOPs.",
    "vector_flops": "Norms, gates and other vectors are parameters, and count for no "
    "FLOPs here: 2 for each weight of a matrix or convolution.",
    "kv_pairs": "Each of the h query heads scores every key: pairs cost 4 h k, "
    "whatever g is.",
    "half_pairs": "A pair is a score and a share of a sum: 2 k FLOPs each, for each "
    "head.",
    "no_pairs": "An attention layer also scores the tokens it attends to: 4 h k for "
    "each of them.",
    "no_steps": "A step through a d layer's state costs 7 h k k FLOPs.",
    "no_norms": "Each layer has two norms of d numbers, and one stands at the end.",
    "no_last_norm": "One more norm of d numbers stands before the output.",
    "two_matrices": "SwiGLU has three matrices of d f: gate, up and down.",
    "full_heads": "Keys and values are made by d g k weights each, fewer than the d h "
    "k of the queries.",
    "no_vectors": "A d layer has 2 h + k numbers in vectors: rates, their offsets, a "
    "norm.",
    "no_conv": "The weights of the convolution count too: 4 for each of 3 h k "
    "channels in d, 3 for each of d channels in c.",
    "one_layer": "Every letter is a layer of its own.",
    "params": "Parameters: the table (once if tied), a norm at the end, and for each "
    "layer its row of the table above, 3 d f and two norms.",
    "flops": "FLOPs: 2 for each weight of matrices and convolutions, the output's m d "
    "among them, and pairs and steps on top.",
    "bytes": "Bytes: 2 (g k + g k) for each kept token of an attention layer; 4 for "
    "each sum of a state; 2 for each last input.",
    "unknown": "A letter that is not in the table has no price: ValueError.",
    "names": "Return a list of the names of all limits that are broken, in the order "
    "of the budget.",
    "equal": "A price that just reaches its limit keeps it.",
    "no_limit": "None is no limit, and a name that the budget does not hold is none "
    "either.",
    "first_only": "All broken limits are named, not just the first.",
    "inverted": "Named are the limits that are broken, not those that are kept.",
    "most": "As many layers as possible attend, within *all* limits.",
    "climbed": "Prices need not rise with each layer that attends: here attention has "
    "fewer parameters than a state. Try every count, from all layers down.",
    "spread": "Of L layers, A attend: layer i (from 0) does if (i + 1) A // L is "
    "above i A // L.",
    "shifted": "With A = 1 of 4 the *last* layer attends: compare (i + 1) A // L with "
    "i A // L.",
    "letters": "Return a text of as many letters as layers, each a or d.",
    "none_fits": "If not even one of these stacks fits, raise ValueError.",
    "no_attention": "A stack without any attention may be the only one that fits.",
}
CHECK = Checker("Exercise 1", HINTS)
FORMED = {"params": "params", "flops": "flops", "cache_bytes": "bytes"}


@dataclass(frozen=True)
class Sizes:
    """What all layers of a stack share.

    Attributes:
        width: d, of the residual stream.
        heads, kv_heads: h query heads, g KV heads.
        head_dim: k, of keys, queries and values.
        ffn: f, inner width of SwiGLU.
        vocab: m tokens.
        window: tokens that a w layer attends to, its own among them.
        tied: whether one table serves at both ends.
    """

    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    window: int = 16
    tied: bool = True


def price(pattern: str, sizes: Sizes, context: int, slip: str = "") -> dict[str, int]:
    """The truth, or what a slip gives."""
    table = sizes.vocab * sizes.width
    matrices, vectors, flops, nbytes = table, sizes.width, 0, 0
    layers = pattern[:1] if slip == "one_layer" else pattern
    for letter in layers:
        made = _layer(letter, sizes, context, slip)
        matrices += made[0] + (2 if slip == "two_matrices" else 3) * (
            sizes.width * sizes.ffn
        )
        vectors += made[1] + 2 * sizes.width
        flops, nbytes = flops + made[2], nbytes + made[3]
    if slip == "no_norms":
        vectors -= (2 * len(pattern) + 1) * sizes.width
    vectors -= sizes.width if slip == "no_last_norm" else 0
    double = sizes.tied if slip == "tied_twice" else not sizes.tied
    extra = table if double and slip != "untied_once" else 0
    if slip == "tied_twice" and not sizes.tied:
        extra = table
    worked = matrices + {
        "looked_up": table,
        "no_scores": -table,
        "vector_flops": vectors,
    }.get(slip, 0)
    flops += (1 if slip == "once" else 2) * worked
    return {
        "params": matrices + vectors + extra,
        "flops": flops,
        "cache_bytes": nbytes,
    }


def _layer(
    letter: str, sizes: Sizes, context: int, slip: str
) -> tuple[int, int, int, int]:
    """Weights of matrices, numbers in vectors, further FLOPs, and bytes."""
    if letter in ("a", "w"):
        return _attention(letter, sizes, context, slip)
    d, h, k = sizes.width, sizes.heads, sizes.head_dim
    if letter == "c":
        conv = 0 if slip == "no_conv" else 3 * d
        kept = 0 if slip == "no_inputs" else 2 * 3 * d
        return 4 * d * d + conv, 0, 0, kept
    if letter != "d":
        raise ValueError(f"letter {letter!r}: allowed are a, w, d and c")
    channels = 3 * h * k
    conv = 0 if slip == "no_conv" else 4 * channels
    vectors = 0 if slip == "no_vectors" else 2 * h + k
    inputs = 0 if slip == "no_inputs" else 2 * 4 * channels
    nbytes = (2 if slip == "half_state" else 4) * h * k * k + inputs
    nbytes *= context if slip == "growing_state" else 1
    nbytes = 0 if slip == "no_state" else nbytes
    steps = 0 if slip == "no_steps" else 7 * h * k * k
    return 5 * d * h * k + 2 * d * h + conv, vectors, steps, nbytes


def _attention(
    letter: str, sizes: Sizes, context: int, slip: str
) -> tuple[int, int, int, int]:
    d, h, g, k = sizes.width, sizes.heads, sizes.kv_heads, sizes.head_dim
    windowed = letter == "w" and slip != "no_window"
    seen = min(context, sizes.window) if windowed else context
    before = sizes.window - (0 if slip == "wide_window" else 1)
    kept = min(context, before) if windowed else context
    kept_heads = h if slip == "q_heads" else g
    nbytes = (1 if slip == "kv_once" else 2) * 2 * kept_heads * k * kept
    made = 2 * d * h * k + 2 * d * (h if slip == "full_heads" else g) * k
    each = {"half_pairs": 2 * h * k, "kv_pairs": 4 * g * k, "no_pairs": 0}
    return made, 0, each.get(slip, 4 * h * k) * seen, nbytes


SLIPS = (
    "q_heads", "kv_once", "growing_state", "no_state", "half_state", "no_inputs",
    "wide_window", "no_window", "tied_twice", "untied_once", "looked_up",
    "no_scores", "once", "vector_flops", "kv_pairs", "half_pairs", "no_pairs",
    "no_steps", "no_norms", "no_last_norm", "two_matrices", "full_heads",
    "no_vectors", "no_conv", "one_layer"
)  # fmt: skip


def random_stack(seed: int) -> tuple[torch.Generator, Sizes, int]:
    """Sizes whose numbers all differ, and a context beyond the window."""
    rng, n = random_sizes(
        seed, d=(5, 9), h=(2, 3), k=(3, 5), f=(20, 40), m=(70, 90), w=(4, 9), t=(20, 40)
    )
    g, h = 3, 3 * n["h"]
    sizes = Sizes(h * n["d"], h, g, 4 * n["k"], n["f"], n["m"], n["w"])
    return rng, sizes, n["t"]


def check_price(price_of: Callable, seed: int = 0) -> str:
    """Check `price(pattern, sizes, context) -> dict`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    _, sizes, context = random_stack(seed)
    loose = replace(sizes, tied=False)
    for pattern, given, tokens in (
        ("a", sizes, context),
        ("a", loose, context),
        ("w", sizes, context),
        ("w", sizes, 2),
        ("d", sizes, context),
        ("cc", sizes, context),
        ("ddda", sizes, 4 * context),
        ("cwdacd", loose, context),
    ):
        tied = "" if given.tied else ", untied"
        what = f"price of {pattern!r} at {tokens} tokens{tied}"
        got = CHECK.call(price_of, pattern, given, tokens, what=what)

        def truth(slip: str, p: str = pattern, s: Sizes = given, n: int = tokens):
            return price(p, s, n, slip)

        counted(CHECK, got, truth, SLIPS, FORMED, what, "three")
    CHECK.refuses(
        lambda: price_of("ax", sizes, context), "unknown", "price of the pattern 'ax'"
    )
    return "Exercise 1: three prices of a stack, before a step of training."


def exceeded(price: dict[str, int], budget: dict[str, int | None]) -> list[str]:
    """The truth."""
    return [
        name
        for name, limit in budget.items()
        if limit is not None and price[name] > limit
    ]


def check_exceeded(exceeded_of: Callable, seed: int = 0) -> str:
    """Check `exceeded(price, budget) -> list of names`."""
    _, n = random_sizes(seed, p=(100, 900), f=(100, 900), c=(100, 900))
    has = {"params": n["p"], "flops": n["f"], "cache_bytes": n["c"]}
    for kind, budget, default in (
        ("a price far below", {name: 2 * v for name, v in has.items()}, "inverted"),
        ("a price far above", {name: v // 2 for name, v in has.items()}, "first_only"),
        ("a price on its limits", dict(has), "equal"),
        ("one byte too many", has | {"cache_bytes": n["c"] - 1}, "equal"),
        ("no limit on FLOPs", {"params": n["p"] - 1, "flops": None}, "no_limit"),
        ("another order", {"flops": 1, "params": 1}, "names"),
        ("no limits", {}, "no_limit"),
    ):
        what = f"limits broken by {kind}"
        crash = "no_limit" if default == "no_limit" else "names"
        with CHECK.doing(crash, what):
            try:
                got = CHECK.call(exceeded_of, has, budget, what=what, crash=crash)
            except TypeError as error:
                CHECK.fail("no_limit", what, "a list", f"TypeError: {error}")
        right = exceeded(has, budget)
        kept = [name for name in budget if name not in right]
        wrong: dict[str, Any] = {"inverted": kept, "first_only": right[:1]}
        wrong = {} if default == "equal" else wrong
        CHECK.true(type(got) is list, "names", what, right, got)
        wrong = {hint: one for hint, one in wrong.items() if one != right}
        CHECK.equal(got, right, default, what, wrong)
    return "Exercise 1: limits that are broken, by name."


def spread(layers: int, attending: int, slip: str = "") -> str:
    """A pattern in which so many of the layers attend, at equal distances."""
    if slip == "spread":
        return "d" * (layers - attending) + "a" * attending
    if slip == "shifted":
        return (
            "".join(
                "a" if i % -(-layers // attending) == 0 and attending else "d"
                for i in range(layers)
            )
            if attending
            else "d" * layers
        )
    return "".join(
        "a" if (i + 1) * attending // layers > i * attending // layers else "d"
        for i in range(layers)
    )


def design(
    sizes: Sizes, layers: int, context: int, budget: dict, slip: str = ""
) -> str:
    """The truth, or what a slip gives."""
    shape = slip if slip in ("spread", "shifted") else ""
    patterns = [spread(layers, count, shape) for count in range(layers + 1)]
    fitting = [p for p in patterns if not exceeded(price(p, sizes, context), budget)]
    if slip == "climbed":
        found = []
        for pattern in patterns:
            if pattern not in fitting:
                break
            found.append(pattern)
        return found[-1] if found else ""
    if not fitting:
        raise ValueError("no stack fits")
    return fitting[0] if slip == "most" else fitting[-1]


def check_design(design_of: Callable, seed: int = 0) -> str:
    """Check `design(sizes, layers, context, budget) -> pattern`, with the lab's own
    `price` and `exceeded` beside it, or else with the student's.
    """
    own = {"price": price, "exceeded": exceeded}
    helped(lambda: _check_design(design_of, seed), design_of, **own)
    return "Exercise 1: as much attention as the budget holds."


def _check_design(design_of: Callable, seed: int) -> None:
    _, sizes, _ = random_stack(seed)
    layers, context = 8, 4096
    costs = {n: price(spread(layers, n), sizes, context) for n in range(layers + 1)}
    # One attention layer saves parameters and adds FLOPs and bytes.
    for kind, budget, default in (
        ("no limit", {}, "most"),
        ("bytes for three", {"cache_bytes": costs[3]["cache_bytes"]}, "spread"),
        ("FLOPs for five", {"flops": costs[6]["flops"] - 1}, "most"),
        (
            "parameters of two, bytes for six",
            {"params": costs[2]["params"], "cache_bytes": costs[6]["cache_bytes"]},
            "climbed",
        ),
        ("bytes for none", {"cache_bytes": costs[0]["cache_bytes"]}, "no_attention"),
        ("bytes for one", {"cache_bytes": costs[1]["cache_bytes"]}, "shifted"),
    ):
        what = f"design of {layers} layers, {kind}"
        crash = "no_attention" if default == "no_attention" else "crash"
        given = sizes, layers, context, budget
        got = CHECK.call(design_of, *given, what=what, crash=crash)
        right = design(*given)
        formed = type(got) is str and len(got) == layers and set(got) <= {"a", "d"}
        CHECK.true(formed, "letters", what, repr(right), repr(got))
        wrong = {s: design(*given, s) for s in ("climbed", "most", "spread", "shifted")}
        wrong = {hint: one for hint, one in wrong.items() if one != right}
        CHECK.equal(got, right, default, what, wrong)
    tight = {"cache_bytes": costs[0]["cache_bytes"] - 1}
    call = lambda: design_of(sizes, layers, context, tight)  # noqa: E731
    CHECK.refuses(call, "none_fits", "design within fewer bytes than the states take")
