"""Lab 9, exercise 4: Jamba's kind of attention with a memory from segment to segment.

Symbols: b batch, t tokens of a segment, s remembered inputs, d width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (y, memory).",
    "shape": "y has the shape and dtype of x.",
    "kept": "The new memory is [b n d]: the last `size` vectors of [memory; x], fewer "
    "while there are not so many.",
    "unbounded": "The memory does not grow: at most `size` vectors are kept.",
    "segment_only": "A segment may be shorter than the memory: then old vectors stay, "
    "so keep the last of [memory; x] and not of x.",
    "outputs": "Remembered is what *entered* the layer, not what left it.",
    "all_kept": "With size 0 nothing is kept: `[:, -0:]` is everything. Count from the "
    "front.",
    "detach": "No gradient flows into an earlier segment: detach the memory. Otherwise "
    "the graph of the whole document is held.",
    "positions": "No positions here: as in Jamba, attention has no RoPE and no table; "
    "the order of the remembered vectors makes no difference.",
    "edge": "The mask at the segment's edge: query i of the segment stands behind all "
    "s remembered vectors, so it sees keys 0 to s + i of the line.",
    "window": "Every query sees the *whole* memory: it does not slide with the query.",
    "whole": "All that is handed over is attended to; `size` bounds what is kept for "
    "the next segment, and nothing else.",
    "future": "Within the segment attention is causal: the diagonal of tril is s.",
    "axis": "Softmax over the keys of each query, the last axis.",
    "added": "y is what was mixed: x is added to it outside of this function.",
    "itself": "A token sees itself, too.",
    "no_memory": "Keys and values come from [memory; x], in this order.",
    "queries": "Queries are made of x alone, keys and values of the line.",
    "scale": "Scores are divided by sqrt(d), neither by d nor by nothing.",
    "no_out": "What was mixed goes through weights['o'].",
    "sides": "A matrix [out in] is applied from the right: x @ weights['q'].mT.",
    "gradient": "Within the segment everything is differentiable: x and the weights "
    "get their gradients.",
    "dtype": "Make what you make in the dtype of x.",
    "mixing": "y = softmax(q k^T / sqrt(d)) v W_o^T: queries of x, keys and values of "
    "[memory; x], and the mask at the segment's edge.",
}
CHECK = Checker("Exercise 4", HINTS)
NAMES = ("q", "k", "v", "o")


def memory_attention(
    x: Tensor, memory: Tensor, weights: dict[str, Tensor], size: int, slip: str = ""
) -> tuple[Tensor, Tensor]:
    """The truth, or what a slip gives."""
    past = memory if slip == "detach" else memory.detach()
    if slip == "whole":
        past = past[:, max(past.shape[1] - size, 0) :]
    line = torch.cat([past, x], 1)
    keyed = x if slip == "no_memory" else line
    q, k, v = (
        one @ (w if slip in ("sides", "all_sides") else w.mT)
        for one, w in zip((x, keyed, keyed), map(weights.get, NAMES), strict=False)
    )
    s, t = keyed.shape[1] - x.shape[1], x.shape[1]
    offset = {"edge": 0, "itself": s - 1, "ahead": s + 1}.get(slip, s)
    seen = torch.ones(t, s + t, dtype=torch.bool).tril(offset)
    if slip == "window":
        seen = seen.triu(0)
    if slip == "future":
        seen = torch.ones_like(seen)
    power = {"scale": 0.0, "by_d": 1.0}.get(slip, 0.5)
    scores = (q @ k.mT / x.shape[2] ** power).masked_fill(~seen, -torch.inf)
    mixed = scores.softmax(-2 if slip == "axis" else -1) @ v
    out = weights["o"] if slip in ("out_side", "all_sides") else weights["o"].mT
    y = mixed if slip == "no_out" else mixed @ out
    y = x + y if slip == "added" else y
    last = {
        "segment_only": x[:, max(t - size, 0) :],
        "unbounded": line,
        "outputs": torch.cat([past, y], 1)[:, max(line.shape[1] - size, 0) :],
    }.get(slip, line[:, max(line.shape[1] - size, 0) :])
    return y, last.detach()


MIXED = (
    "edge", "no_memory", "future", "window", "scale", "no_out", "sides", "itself",
    "whole", "ahead", "by_d", "out_side", "all_sides", "axis", "added"
)  # fmt: skip
CALLED = {"ahead": "future", "by_d": "scale", "out_side": "sides", "all_sides": "sides"}
KEPT = ("segment_only", "unbounded", "outputs")


def random_weights(rng: torch.Generator, d: int) -> dict[str, Tensor]:
    """Four matrices [d d]."""
    return {name: numbers(rng, d, d) / d**0.5 for name in NAMES}


def check_memory_attention(attention_of: Callable, seed: int = 0) -> str:
    """Check `memory_attention(x, memory, weights, size) -> (y, memory)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, n = random_sizes(seed, b=(2, 3), t=(4, 6), d=(5, 7), s=(2, 3))
    b, t, d, s = n.values()
    weights = random_weights(rng, d)
    x = numbers(rng, b, t, d)
    for kind, kept, tokens, size in (
        ("the first segment", 0, t, t - 1),
        ("a segment after so many remembered as are kept", s, t, s),
        ("a segment shorter than its memory", t, s, t),
        ("a memory that is not full yet", 1, 2, t),
        ("one token", s, 1, s),
        ("more remembered than will be kept", t, t, 1),
        ("size 0", 0, t, 0),
    ):
        memory, part = numbers(rng, b, kept, d), x[:, :tokens]
        what = f"memory_attention, {kind}"
        lent = strided(part), strided(memory) if kept else memory, weights, size
        got = CHECK.call(attention_of, *lent, what=what, crash="mixing")
        y, after = probing.results(CHECK, got, 2, "pair", what)
        right, kept_right = memory_attention(part, memory, weights, size)

        def truth(slip: str, given=(part, memory, weights, size)):
            return memory_attention(*given, slip)

        _same_mix(attention_of, y, right, truth, (part, memory, weights, size), what)
        wrong = probing.slip_of(truth, KEPT, after, 1)
        hint = "all_kept" if size == 0 else "kept"
        wrong = {} if size == 0 else wrong
        CHECK.close(after, kept_right, hint, f"the memory after {what}", wrong)
    _no_gradient_back(attention_of, x, weights, s)
    memory = numbers(rng, b, s, d)
    probing.low(
        CHECK, lambda *g: attention_of(*g, s), (x, memory, weights), "memory_attention"
    )
    _gradients(attention_of, x, memory, weights, s)
    return "Exercise 4: a segment that remembers, without positions."


def _same_mix(
    answer: Callable, y: Tensor, right: Tensor, truth: Callable, given: tuple, what: str
) -> None:
    """Compare y; where no slip explains it, ask whether the order of earlier tokens
    matters to the last one.
    """
    wrong = probing.slip_of(truth, MIXED, y, 0)
    wrong = {CALLED.get(slip, slip): one for slip, one in wrong.items()}
    default = "mixing"
    x, memory, *rest = given
    formed = isinstance(y, Tensor) and y.shape == right.shape
    if formed and bool(y.isnan().any()):
        default = "itself"  # a first token that sees nothing
    elif formed and not wrong and x.shape[1] > 2:
        turned = torch.cat([x[:, :-1].flip(1), x[:, -1:]], 1)
        again = answer(turned, memory.flip(1).contiguous(), *rest)[0]
        if not torch.allclose(again[:, -1], y[:, -1], atol=1e-8):
            default = "positions"
    CHECK.close(y, right, default, f"y of {what}", wrong, "shape")


def _no_gradient_back(answer: Callable, x: Tensor, weights: dict, s: int) -> None:
    first, none = x.clone().requires_grad_(), x[:, :0].clone()
    _, memory = answer(first * 1.0, none, weights, s)
    what = "the gradient of the second segment in the first one's inputs"
    y, _ = answer(x.clone(), memory, weights, s)
    leaks = (
        y.requires_grad
        and torch.autograd.grad(y.sum(), first, allow_unused=True)[0] is not None
    )
    CHECK.true(not leaks, "detach", what, "none", "some")
    held = memory.requires_grad
    told = "the memory that is returned"
    CHECK.true(not held, "detach", told, "without a gradient", "with its graph")
    given = x[:, :s].clone().requires_grad_()
    lent = given * 1.0
    y, _ = answer(x.clone(), lent, weights, s)
    told = "the memory that was given, after the call"
    CHECK.true(lent.requires_grad, "unchanged", told, "with its graph", "cut off")
    what = "the gradient of y in the memory that was given"
    leaks = (
        y.requires_grad
        and torch.autograd.grad(y.sum(), given, allow_unused=True)[0] is not None
    )
    CHECK.true(not leaks, "detach", what, "none", "some")


def _gradients(
    answer: Callable, x: Tensor, memory: Tensor, weights: dict, s: int
) -> None:
    def of(function: Callable) -> Callable:
        return lambda x, *w: function(x, memory, dict(zip(NAMES, w, strict=True)), s)[0]

    given = x, *weights.values()
    probing.gradients(
        CHECK, of(answer), of(memory_attention), given, "memory_attention"
    )
