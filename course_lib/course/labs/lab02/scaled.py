"""Lab 2, exercise 1: scaled dot-product attention, and the causal mask.

Symbols: b batch, t queries, s keys, h heads, k key width, v value width; a mask is True
    where a query sees.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided
from course_lib.course.labs.values import same
from course_lib.layers import masks
from course_lib.layers.attention.forms import attend

HINTS = {
    "scale": "Divide the scores by the square root of k, the last axis of q (not of "
    "v, and not by k itself).",
    "softmax_axis": "The weights of one query sum to 1 over the keys: softmax runs "
    "over the last axis, s.",
    "mask": "Where mask is False the score must be gone before the softmax, so that "
    "it gets weight 0.",
    "hidden": "True in the mask means that the query may see the "
    "key: hide where it is False.",
    "zero": "A score of 0 is not no score: exp(0) = 1. Hidden "
    "scores go to minus infinity.",
    "overflow": "exp of large scores overflows: softmax subtracts the largest score "
    "of each row first.",
    "scores": "A score is q_t . k_s within one head, summed over k: einsum "
    "'bthk,bshk->bhts'.",
    "mask_first": "Mask the scores, not the weights: set to 0 after the softmax, they "
    "no longer sum to 1.",
    "nothing_seen": "A query that sees no key gets weights 0 and output 0, not NaN "
    "and not a mean.",
    "stored": "The output is the weights times the values, v wide: einsum "
    "'bhts,bshv->bthv'.",
    "boolean": "Return a bool tensor [t s], True where the query may see the key.",
    "itself": "A token sees itself: the key's position may equal the query's.",
    "leak": "The mask is the wrong way round: hidden are the "
    "keys that come after the query.",
    "positions": "Compare positions, not places in the tensor: a decode step's only "
    "query is not at 0.",
    "output": "y = weights V, [b t h v]; the weights are [b h t s].",
}
CHECK = Checker("Exercise 1", HINTS)


def check_causal_mask(causal_mask, seed: int = 0) -> str:
    """Check `causal_mask(query_positions, key_positions) -> [t s]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    _check_mask(causal_mask, _sizes(seed)[1])
    return "Exercise 1: the mask goes by position."


def check_scaled_attention(scaled_attention, seed: int = 0) -> str:
    """Check `scaled_attention(q, k, v, mask) -> (y, weights)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    for batch, heads, lies in (
        (size["b"], size["h"], Tensor.contiguous),
        (1, 1, strided),
        (2, 3, strided),
    ):
        shape = batch, size["s"], heads
        q = torch.randn(batch, size["t"], heads, size["k"], generator=rng).double()
        k = torch.randn(*shape, size["k"], generator=rng).double()
        v = torch.randn(*shape, size["k"] + size["extra"], generator=rng).double()
        mask = torch.rand(batch, size["t"], size["s"], generator=rng) < 0.6
        mask[..., 0] = True
        given = [lies(part) for part in (q, k, v, mask)]
        what = f"attention of batch {batch} and {heads} heads with a random mask"
        _compare(scaled_attention, *given, what)
        what, given[0] = "attention of large queries", 3000 * given[0]
        _compare(scaled_attention, *given, what, "overflow")
    mask[0, 1] = False
    _compare(scaled_attention, q, k, v, mask, "attention where one query sees nothing")
    return "Exercise 1: the weights are right, also for a query that sees nothing."


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int]]:
    return random_sizes(
        seed, b=(2, 3), t=(3, 5), s=(6, 8), h=(2, 3), k=(3, 5), extra=(1, 2)
    )


def _check_mask(causal_mask, size: dict[str, int]) -> None:
    """A whole sequence, and queries that stand after keys which are there already."""
    held = size["s"]
    for queries, keys, default in (
        (torch.arange(held), torch.arange(held), "compare"),
        (
            torch.arange(held, held + size["t"]),
            torch.arange(held + size["t"]),
            "positions",
        ),
        (torch.tensor([held]), torch.arange(held + 1), "positions"),
        (
            torch.tensor([3, held]),
            torch.arange(held).roll(2),
            "positions",
        ),  # the slots of a ring buffer
    ):
        given = strided(queries), strided(keys)
        got = CHECK.call(causal_mask, *given, what="causal_mask", crash="positions")
        seen = masks.causal_mask(queries[None], keys[None])[0]
        q, k = queries[:, None], keys[None, :]
        places = torch.arange(len(queries))[:, None] >= torch.arange(len(keys))[None, :]
        mistakes = {
            "itself": (k < q).long(),
            "leak": (k >= q).long(),
            "positions": places.long(),
        }
        CHECK.true(
            isinstance(got, Tensor) and got.dtype == torch.bool,
            "boolean",
            "what causal_mask returns",
            "a bool tensor",
            getattr(got, "dtype", type(got).__name__),
        )
        what = (
            f"causal_mask of queries at {queries.tolist()} over keys at {keys.tolist()}"
        )
        CHECK.close(got.long(), seen.long(), default, what, mistakes)


def _compare(
    scaled_attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    what: str,
    nan: str = "nothing_seen",
) -> None:
    """Compare with the library's attention; NaN has the hint `nan`."""
    got = CHECK.call(scaled_attention, q, k, v, mask, what=what)
    pair = isinstance(got, tuple) and len(got) == 2
    CHECK.true(pair, "output", what, "(y, weights)", type(got).__name__)
    y, weights = got
    expected_y, expected = attend(q, k, v, mask)
    mistakes = {hint: make(q, k, v, mask) for hint, make in MISTAKES.items()}
    mistakes["scale"] = _scaled_like(weights, q, k, v, mask)
    if (
        isinstance(weights, Tensor)
        and weights.isnan().any()
        and not expected.isnan().any()
    ):
        CHECK.fail(
            nan, f"weights, {what}", "no NaN", f"{int(weights.isnan().sum())} NaN"
        )
    default = "scores"
    if isinstance(weights, Tensor) and weights.shape == expected.shape:
        unseen = (weights != 0) & ~mask[:, None]
        sums_to_one = torch.allclose(weights.sum(-1), expected.sum(-1))
        default = (
            "hidden"
            if unseen.any() and sums_to_one
            else "scores"
            if sums_to_one
            else "compare"
        )
    others = {hint: w for hint, w in mistakes.items() if not same(w, expected)}
    told = f"weights, {what}"
    CHECK.close(weights, expected, default, told, others, shape="output")
    CHECK.close(y, expected_y, "stored", f"output, {what}", shape="output")


def _weights(
    q: Tensor, k: Tensor, mask: Tensor, divisor: float, axis: int = -1
) -> Tensor:
    scores = torch.einsum("bthk,bshk->bhts", q, k) / divisor
    hidden = ~mask[:, None]
    weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(axis)
    return weights.masked_fill(hidden, 0.0) if axis == -1 else weights


def _masked_late(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    everything = _weights(q, k, torch.ones_like(mask), q.shape[-1] ** 0.5)
    return everything.masked_fill(~mask[:, None], 0.0)


def _zeroed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Weights where hidden scores were set to 0, and hidden weights after the softmax
    too.
    """
    hidden = ~mask[:, None]
    scores = torch.einsum("bthk,bshk->bhts", q, k) / q.shape[-1] ** 0.5
    return scores.masked_fill(hidden, 0.0).softmax(-1).masked_fill(hidden, 0.0)


def _scaled_like(got: object, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """The weights under the wrong divisor that `got` was made with; those without a
    divisor if none fits.
    """
    heads, width = q.shape[2:]
    divisors = (1.0, width, v.shape[-1] ** 0.5, (heads * width) ** 0.5, width**-0.5)
    wrong = [_weights(q, k, mask, divisor) for divisor in divisors]
    fits = (
        w
        for w in wrong
        if isinstance(got, Tensor) and w.shape == got.shape and torch.allclose(w, got)
    )
    return next(fits, wrong[0])


def _uniform(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Weights where a row of equally small scores got the same weight everywhere."""
    weights = _weights(q, k, mask, q.shape[-1] ** 0.5)
    return weights.masked_fill(~mask.any(-1)[:, None, :, None], 1 / mask.shape[-1])


MISTAKES = {
    "softmax_axis": lambda q, k, v, mask: _weights(
        q, k, mask, q.shape[-1] ** 0.5, axis=-2
    ),
    "mask": lambda q, k, v, mask: _weights(
        q, k, torch.ones_like(mask), q.shape[-1] ** 0.5
    ),
    "mask_first": _masked_late,
    "nothing_seen": _uniform,
    "zero": _zeroed,
    "hidden": lambda q, k, v, mask: _weights(q, k, ~mask, q.shape[-1] ** 0.5),
}
