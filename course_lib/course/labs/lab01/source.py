"""Lab 1, exercise 4: a decoder that reads a source, and what of it is computed once.

Symbols: b rows, t target tokens, s source tokens, d width, h heads, k head width.
Weights are [out in]: "q", "k", "v" [h*k d], "o" [d h*k]. `real [b s]` is False at
padding.
"""

import torch
from torch import Tensor

from course_lib.course.labs.allocation import Products
from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import copied, spoil, strided, unchanged
from course_lib.layers.attention.forms import attend

HINTS = {
    "queries": "Queries come from the target, x.",
    "source": "Keys and values both come from the source.",
    "causal": "The source is there in full: no causal mask over it.",
    "padding": "Padding of the source gets no weight.",
    "padding_late": "Padding set to 0 after the softmax leaves weights that sum to "
    "less than 1: hide scores.",
    "hidden": "True in `real` means a token that may be read: hide the others, and "
    "softmax over s.",
    "scale": "Divide the scores by the root of the head width k, "
    "not by that of d or of h * k.",
    "swapped": "Keys are made by weights['k'], values by weights['v'].",
    "project_back": "Join the heads and multiply by W_O.",
    "heads": "The last axis splits into (h, k), head after head. Split it, and only "
    "then move axes.",
    "join": "Bring the heads behind the tokens, [b t h k], before "
    "the last two axes are joined.",
    "once": "Keys and values of the source are projected once, in __init__. A step "
    "projects queries only.",
    "shapes": "Weights are [out in]: x @ w.T. Scores are [b h t s], so the mask is "
    "`real[:, None, None, :]`.",
    "steps": "Project, split, score over the root of k, hide padding, softmax over s, "
    "weigh, join, project.",
    "stable": "exp of a few hundred overflows: softmax subtracts the largest score of "
    "each row first.",
    "output": "x [b t d] comes back as [b t d].",
}
CHECK = Checker("Exercise 4", HINTS)


def check_read(source_memory: type, seed: int = 0) -> str:
    """Check exercise 4: the class `SourceMemory(source, real, weights, heads)` with
    `read(x) -> [b t d]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, b=(2, 3), t=(3, 4), s=(6, 8), d=(7, 9), h=(2, 3), k=(4, 5)
    )
    for number, batch in enumerate((size["b"], 1)):
        trial = _Memory(source_memory, size | {"b": batch}, rng)
        trial.read(strided if number else Tensor.contiguous)
    return "Exercise 4: the source is read in full."


def check_once(source_memory: type, seed: int = 0) -> str:
    """Check exercise 4: keys and values are made once, and kept by their memory.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, b=(2, 3), t=(3, 4), s=(6, 8), d=(7, 9), h=(2, 3), k=(4, 5)
    )
    trials = [_Memory(source_memory, size | {"s": size["s"] + i}, rng) for i in (0, 1)]
    for trial in trials:
        trial.read_again("own_state", "with another memory built after this one")
    for trial in trials:
        trial.work()
    for trial in trials:
        spoil(trial.lent[0], trial.lent[2]["k"], trial.lent[2]["v"])
        what = "after the source and the weights 'k' and 'v' were written over"
        trial.read_again("once", what)
    return "Exercise 4: the source is projected once."


class _Memory:
    """One memory, and what it was made of."""

    def __init__(self, source_memory: type, size: dict[str, int], rng) -> None:
        b, t, s, d, heads, k = (size[name] for name in "btsdhk")
        weights = {
            name: torch.randn(heads * k, d, generator=rng).double() for name in "qkv"
        }
        weights["o"] = torch.randn(d, heads * k, generator=rng).double()
        source, self.x = (torch.randn(b, n, d, generator=rng).double() for n in (s, t))
        real = torch.ones(b, s, dtype=torch.bool)
        real[-1, s - 2 :] = False
        self.own, self.size = (source, real, weights, heads), size
        self.lent = copied(self.own)
        with CHECK.doing("shapes", "SourceMemory"):
            self.memory = source_memory(*self.lent)

    def read(self, lies) -> None:
        """Read all target tokens, then one by one."""
        t, s, d, heads, k = (self.size[name] for name in "tsdhk")
        inputs = self.x, *self.own
        what = f"read of {t} target tokens over {s} source tokens"
        got = CHECK.call(self.memory.read, lies(self.x), what=what, crash="shapes")
        mistakes = {hint: _read(*inputs, **slip) for hint, slip in SLIPS.items()}
        for hint, slip in [
            *MORE_SLIPS,
            *(("scale", {"scale": n**-0.5}) for n in (d, heads * k, s) if n != k),
            ("scale", {"scale": 1 / k}),
        ]:
            if _alike(got, _read(*inputs, **slip)):
                mistakes[hint] = got
        bad = isinstance(got, Tensor) and got.isnan().any()
        right = _read(*inputs)
        others = {h: y for h, y in mistakes.items() if not _alike(y, right)}
        default = "hidden" if bad else "steps"
        CHECK.close(got, right, default, what, others, shape="output")
        self.read_again("steps", "alone")
        loud = 300 * self.x
        what = "read of large target tokens"
        got = CHECK.call(self.memory.read, loud, what=what)
        CHECK.close(got, _read(loud, *self.own), "stable", what)
        same = unchanged(self.lent, self.own)
        told = "source, real and weights, after the reads"
        CHECK.true(same, "unchanged", told, "as they were", "changed")

    def read_again(self, hint: str, when: str) -> None:
        """Read one target token after the other."""
        for step in range(self.size["t"]):
            one = self.x[:, step : step + 1]
            what = f"read of target token {step} {when}"
            got = CHECK.call(self.memory.read, one, what=what, crash=hint)
            CHECK.close(got, _read(one, *self.own), hint, what)

    def work(self) -> None:
        """Multiplications of one step: two projections, scores and sums; the source is
        not projected again.
        """
        b, s, d, heads, k = (self.size[name] for name in "bsdhk")
        with Products() as seen:
            self.memory.read(self.x[:, :1].clone())
        needed = 2 * b * heads * k * (2 * d + 2 * s)
        CHECK.true(
            seen.flops <= 1.5 * needed,
            "once",
            f"FLOPs of products in a read of 1 token over {s} source tokens",
            f"about {needed}",
            seen.flops,
        )


def _alike(got: object, mistake: Tensor) -> bool:
    return (
        isinstance(got, Tensor)
        and got.shape == mistake.shape
        and torch.allclose(got, mistake)
    )


def _read(
    x: Tensor,
    source: Tensor,
    real: Tensor,
    weights: dict[str, Tensor],
    heads: int,
    *,
    queries_of_source: bool = False,
    own_values: bool = False,
    causal: bool = False,
    padded: bool = False,
    scale: float | None = None,
    back: bool = True,
    interleaved: str = "",
    unsplit: bool = False,
    unmoved: bool = False,
    made_by: str = "kv",
    late: bool = False,
) -> Tensor:
    """Cross-attention on the library's `attend`; the options are slips."""

    def split(y: Tensor) -> Tensor:
        if unsplit:  # the numbers taken as [b h n k] at once
            return y.reshape(len(y), heads, y.shape[1], -1).transpose(1, 2)
        return (
            y.unflatten(-1, (-1, heads)).transpose(-1, -2)
            if interleaved
            else y.unflatten(-1, (heads, -1))
        )

    t, s = x.shape[1], source.shape[1]
    asking = source[:, :t] if queries_of_source else x
    told = torch.cat((x, source[:, t:]), dim=1) if own_values else source
    mask = (torch.ones_like(real) if padded or late else real)[:, None].expand(-1, t, s)
    if causal:
        mask = mask & torch.ones(t, s, dtype=torch.bool).tril()
    to_keys, to_values = (weights[name] for name in made_by)
    q, k, v = (
        split(asking @ weights["q"].T),
        split(source @ to_keys.T),
        split(told @ to_values.T),
    )
    v = (
        v * real[:, :, None, None] if late else v
    )  # as if the weights of padding were set to 0
    y, _ = attend(q, k, v, mask, scale=scale)
    if unmoved:  # [b h t k] joined as it lies
        y = y.transpose(1, 2).reshape(y.shape)
    joined = (y.transpose(-1, -2) if interleaved == "to the end" else y).flatten(2)
    return joined @ weights["o"].T if back else joined


SLIPS = {
    "queries": {"queries_of_source": True},
    "source": {"own_values": True},
    "causal": {"causal": True},
    "padding": {"padded": True},
    "scale": {"scale": 1.0},
    "project_back": {"back": False},
    "heads": {"unsplit": True},
    "join": {"unmoved": True},
    "swapped": {"made_by": "vk"},
    "padding_late": {"late": True},
}
MORE_SLIPS = [  # further ways to the same hints
    ("heads", {"interleaved": "split"}),
    ("heads", {"interleaved": "to the end"}),
    ("swapped", {"made_by": "vv"}),
    ("swapped", {"made_by": "kk"}),
]
