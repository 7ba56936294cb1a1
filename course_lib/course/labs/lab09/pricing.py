"""Lab 9, exercise 1: what a hybrid stack costs.

Symbols: d model width, h heads, g KV heads, k head width, f FFN width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import counted

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
    "narrow_window": "What is kept before the step is one less than what is attended "
    "to: a query of a w layer sees `window` tokens, its own among them.",
    "full_window": "A window holds no more tokens than the context has.",
    "one_more": "`context` tokens are held after the step, the new one among them: "
    "none is added for it.",
    "head_dim": "Heads are sizes.head_dim wide: h k need not be d.",
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
    "unknown": "A letter that is not in the table has no price, wherever it stands and "
    "whatever it resembles: ValueError.",
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
    if slip == "head_dim":
        sizes = replace(sizes, head_dim=sizes.width // sizes.heads)
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
    near = sizes.window - (1 if slip == "narrow_window" else 0)
    before = sizes.window - (0 if slip == "wide_window" else 1)
    seen, kept = (min(context, one) if windowed else context for one in (near, before))
    if slip == "full_window" and windowed:
        seen, kept = near, before
    seen += 1 if slip == "one_more" else 0
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
    "no_vectors", "no_conv", "one_layer", "narrow_window", "full_window", "one_more",
    "head_dim"
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
        missing.
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
    for pattern in ("ax", "xa", "aD", "d a"):
        call = lambda pattern=pattern: price_of(pattern, sizes, context)  # noqa: E731
        CHECK.refuses(call, "unknown", f"price of the pattern {pattern!r}")
    return "Exercise 1: three prices of a stack, before a step of training."
