"""Lab 3, exercise 2: query heads that share keys and values, without copies of either.

Symbols: b batch, t queries, s keys, h heads, g KV groups, r = h / g, k key width, v
    value width.
"""

import torch
from torch import Tensor

from course_lib.course.labs.allocation import LargestNew
from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided
from course_lib.course.labs.values import same
from course_lib.layers.attention.forms import attention_naive

HINTS = {
    "mapping": "Neighbouring heads share a group: head i reads group i // (h // g).",
    "scale": "Divide the scores by the square root of the key "
    "width k, the last axis of q.",
    "mask": "Scores where mask is False must be minus infinity before the softmax.",
    "softmax_axis": "The weights of one query sum to 1 over the keys: softmax runs "
    "over axis s.",
    "head_order": "Head i = group * (h // g) + place: when joining, the group axis "
    "comes before the place.",
    "every_head": "Every query head has weights of its own. Sharing is for keys and "
    "values only.",
    "no_copy": "Give the queries a group axis, [b t g r k], and let einsum take K and "
    "V as they are. "
    "repeat_interleave, or expand followed by a reshape, writes K out h // g times.",
    "hidden": "True in the mask means that the query may see the key: hide where it "
    "is False.",
    "stable": "exp of a few hundred overflows: softmax subtracts the largest score of "
    "each row first.",
    "output": "The result is [b t h v], the heads of group 0 before those of group 1.",
}
CHECK = Checker("Exercise 2", HINTS)


def check(grouped_attention, seed: int = 0) -> str:
    """Check exercise 2: `grouped_attention(q, k, v, mask) -> [b t h v]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(
        seed, b=(1, 2), t=(2, 4), s=(5, 8), g=(2, 3), r=(2, 4), k=(3, 5), extra=(1, 2)
    )
    for batch, groups, in_group, loud in (
        (size["b"], size["g"], size["r"], 1.0),
        (1, 1, size["r"], 1.0),
        (2, size["g"], 1, 1.0),
        (1, 3, 2, 400.0),
    ):
        sizes = size | {"b": batch, "g": groups, "r": in_group}
        q, k, v, mask = _inputs(sizes, rng)
        q, lies = loud * q, (strided if batch == 1 else Tensor.contiguous)
        given = tuple(lies(part) for part in (q, k, v, mask))
        heads = f"{groups * in_group} heads over {groups} group{'s' * (groups > 1)}"
        what = heads + (", large scores" if loud > 1 else "")
        got = CHECK.call(grouped_attention, *given, what=what)
        mistakes = {hint: make(q, k, v, mask) for hint, make in MISTAKES.items()}
        for width in (q.shape[-1] ** 2, v.shape[-1], heads_wide(q)):
            wrong = _attend(q, *_repeated(q, k, v), mask, width=width)
            if isinstance(got, Tensor) and same(got, wrong):
                mistakes = {"scale": wrong}
        default = "compare"
        if isinstance(got, Tensor) and got.isnan().any():
            default = "stable" if loud > 1 else "hidden"
        right = attention_naive(q, k, v, mask)
        CHECK.close(got, right, default, what, _others(mistakes, right), shape="output")
    _check_copies(grouped_attention, rng)
    return "Exercise 2: every head reads its group, and nothing is copied."


def heads_wide(q: Tensor) -> int:
    """Numbers of a token's query over all heads."""
    return q.shape[2] * q.shape[3]


def _others(mistakes: dict[str, Tensor], right: Tensor) -> dict[str, Tensor]:
    return {hint: wrong for hint, wrong in mistakes.items() if not same(wrong, right)}


def _inputs(
    size: dict[str, int], rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random q, k, v with v wider than k, and a mask that leaves every query at least
    one key.
    """
    b, t, s, g = size["b"], size["t"], size["s"], size["g"]
    q = torch.randn(b, t, g * size["r"], size["k"], generator=rng).double()
    k = torch.randn(b, s, g, size["k"], generator=rng).double()
    v = torch.randn(b, s, g, size["k"] + size["extra"], generator=rng).double()
    mask = torch.rand(b, t, s, generator=rng) < 0.6
    mask[:, :, 0] = True
    return q, k, v, mask


def _check_copies(grouped_attention, rng: torch.Generator) -> None:
    """One query against many keys: nothing new may be as large as two copies of K."""
    q, k, v, mask = _inputs(
        {"b": 2, "t": 1, "s": 64, "g": 2, "r": 4, "k": 32, "extra": 0}, rng
    )
    with LargestNew((q, k, v, mask)) as seen:
        grouped_attention(q, k, v, mask)
    limit = 2 * k.untyped_storage().nbytes()
    CHECK.true(
        seen.nbytes < limit,
        "no_copy",
        "largest new tensor for 1 query, 64 keys, 8 heads, 2 groups",
        f"less than {limit} bytes (K itself has {limit // 2})",
        f"{seen.nbytes} bytes",
    )


def _attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor,
    width: float | None = None,
    axis: int = -1,
) -> Tensor:
    """Attention with a key and value head for each query head; `width` and `axis` may
    be wrong.
    """
    scores = torch.einsum("bthk,bshk->bhts", q, keys) / (width or q.shape[-1]) ** 0.5
    weights = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min).softmax(
        axis
    )
    return torch.einsum("bhts,bshv->bthv", weights, values)


def _repeated(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    in_group = q.shape[2] // k.shape[2]
    return k.repeat_interleave(in_group, 2), v.repeat_interleave(in_group, 2)


def _interleaved(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    in_group = q.shape[2] // k.shape[2]
    return _attend(q, k.repeat(1, 1, in_group, 1), v.repeat(1, 1, in_group, 1), mask)


def _joined_wrongly(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    right = _attend(q, *_repeated(q, k, v), mask)
    return right.unflatten(2, (k.shape[2], -1)).transpose(2, 3).flatten(2, 3)


def _one_head_a_group(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    in_group = q.shape[2] // k.shape[2]
    mean = q.unflatten(2, (k.shape[2], in_group)).mean(3).repeat_interleave(in_group, 2)
    return _attend(mean, *_repeated(q, k, v), mask)


def _scaled(width):
    return lambda q, k, v, mask: _attend(
        q, *_repeated(q, k, v), mask, width=width(q, v)
    )


MISTAKES = {
    "mapping": _interleaved,
    "head_order": _joined_wrongly,
    "mask": lambda q, k, v, mask: _attend(
        q, *_repeated(q, k, v), torch.ones_like(mask)
    ),
    "softmax_axis": lambda q, k, v, mask: _attend(
        q, *_repeated(q, k, v), mask, axis=-2
    ),
    "scale": _scaled(lambda q, v: 1.0),
    "every_head": _one_head_a_group,
    "hidden": lambda q, k, v, mask: _attend(q, *_repeated(q, k, v), ~mask),
}
