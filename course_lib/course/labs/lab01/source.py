"""Lab 1, exercise 4: a decoder that reads a source, and what of it is computed once.

Symbols: b rows, t target tokens, s source tokens, d width, h heads, k head width.
Weights are [out in]: "q", "k", "v" [h*k d], "o" [d h*k]. `real [b s]` is False at
padding.
"""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from course_lib.course.labs.checking import Checker, random_sizes
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
    "output": "x [b t d] comes back as [b t d].",
}
CHECK = Checker("Exercise 4", HINTS)


def check(source_memory: type, seed: int = 0) -> str:
    """Check exercise 4: the class `SourceMemory(source, real, weights, heads)` with
    `read(x) -> [b t d]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, b=(2, 3), t=(3, 4), s=(6, 8), d=(7, 9), h=(2, 3), k=(4, 5)
    )
    b, t, s, d, heads, k = (size[name] for name in "btsdhk")
    weights = {
        name: torch.randn(heads * k, d, generator=rng).double() for name in "qkv"
    }
    weights["o"] = torch.randn(d, heads * k, generator=rng).double()
    source, x = (
        torch.randn(b, s, d, generator=rng).double(),
        torch.randn(b, t, d, generator=rng).double(),
    )
    real = torch.ones(b, s, dtype=torch.bool)
    real[1, s - 2 :] = False
    with CHECK.doing("shapes", "SourceMemory"):
        memory = source_memory(source, real, weights, heads)
        got = memory.read(x)
    inputs = x, source, real, weights, heads
    mistakes = {hint: _read(*inputs, **slip) for hint, slip in SLIPS.items()}
    for hint, slip in [
        *MORE_SLIPS,
        *(("scale", {"scale": size**-0.5}) for size in (d, heads * k) if size != k),
    ]:
        if _alike(got, _read(*inputs, **slip)):
            mistakes[hint] = got
    default = "hidden" if isinstance(got, Tensor) and got.isnan().any() else "steps"
    what = f"read of {t} target tokens over {s} source tokens"
    CHECK.close(got, _read(*inputs), default, what, mistakes, shape="output")
    for step in range(t):
        one = x[:, step : step + 1]
        CHECK.close(
            memory.read(one),
            _read(one, *inputs[1:]),
            "once",
            f"read of target token {step} alone",
        )
    _check_work(memory, x[:, :1], weights)
    return "Exercise 4: the source is read in full, and projected once."


class _Products(TorchFunctionMode):
    """Count how many numbers are multiplied into one of the given weights."""

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        self.storages = {weight.untyped_storage().data_ptr() for weight in weights}
        self.uses = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in (
            "matmul",
            "__matmul__",
            "linear",
            "einsum",
            "mm",
            "bmm",
            "tensordot",
        ):
            flat = [
                a
                for arg in args
                for a in (arg if isinstance(arg, list | tuple) else [arg])
            ]
            tensors = [a for a in flat if isinstance(a, Tensor)]
            self.uses += any(
                a.untyped_storage().data_ptr() in self.storages for a in tensors
            )
        return func(*args, **(kwargs or {}))


def _check_work(memory, x: Tensor, weights: dict[str, Tensor]) -> None:
    with _Products([weights["k"], weights["v"]]) as seen:
        memory.read(x)
    CHECK.equal(
        seen.uses, 0, "once", "products with W_K or W_V in one step of decoding"
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
