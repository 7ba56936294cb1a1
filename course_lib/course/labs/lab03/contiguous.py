"""Lab 3, exercise 1: a contiguous cache, and one step for prefill and decode alike.

Symbols: b batch, t new tokens, s tokens held, n all tokens, h heads, k head width, d
    model width.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.layers.attention.layer import Attention
from course_lib.layers.positions.rope import Rope

HINTS = {
    "advance": "A second append lands behind the first. Move self.length on by the "
    "number of new tokens.",
    "held_only": "Return only what was written so far. An empty slot must not reach "
    "the softmax.",
    "in_place": "Write into the tensors made in __init__. torch.cat copies the whole "
    "cache at every token.",
    "overflow": "Compare with the capacity before you write "
    "anything, and raise ValueError.",
    "scale": "Divide the scores by the square root of the head "
    "width, as in the full forward.",
    "causal": "In prefill a query must not see the keys that come after it.",
    "mask_offset": "Query i of the chunk stands at position held + i, not at i, and "
    "sees all keys up to it.",
    "positions": "The new tokens continue the text: their positions start at the "
    "number of tokens held.",
    "one_by_one": "Prefill takes the prompt in one step. Each later "
    "token is one step of its own.",
    "output": "Compare shapes first: heads are joined to [b t h*k], then layer.wo "
    "goes back to width d.",
}
CHECK = Checker("Exercise 1", HINTS)


def check(cache_class: type, step, run, seed: int = 0) -> str:
    """Check exercise 1: the cache class, `step(layer, x, cache)` and `run(layer, x,
    prompt, cache)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, batch=(2, 3), heads=(2, 4), prompt=(3, 6), tail=(3, 5), half=(1, 3)
    )
    size["k"] = 2 * size.pop("half") + 2
    layer = _layer(size, rng)
    x = torch.randn(
        size["batch"],
        size["prompt"] + size["tail"],
        layer.wq.in_features,
        generator=rng,
    ).double()
    with torch.no_grad():
        _check_append(cache_class, size, rng)
        _check_step(cache_class, step, layer, x, size)
        _check_run(cache_class, step, run, layer, x, size)
    return "Exercise 1: cached prefill and decode equal the full forward."


def _layer(size: dict[str, int], rng: torch.Generator) -> Attention:
    """A small layer with as many KV heads as heads, float64, weights of order one."""
    heads, width = size["heads"], size["k"]
    layer = Attention(
        heads * width + 1, heads, heads, width, rope=Rope(dim=width)
    ).double()
    for weight in layer.parameters():
        weight.data = (
            torch.randn(weight.shape, generator=rng).double() / weight.shape[-1] ** 0.5
        )
    return layer.requires_grad_(False)


def _entries(
    size: dict[str, int], tokens: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    shape = (size["batch"], tokens, size["heads"], size["k"])
    return torch.randn(shape, generator=rng).double(), torch.randn(
        shape, generator=rng
    ).double()


def _check_append(
    cache_class: type, size: dict[str, int], rng: torch.Generator
) -> None:
    capacity = size["prompt"] + size["tail"]
    cache = cache_class(size["batch"], capacity, size["heads"], size["k"])
    place = cache.keys.data_ptr()
    keys, values = _entries(size, capacity, rng)
    done = 0
    for new in (size["prompt"], 1, size["tail"] - 1):
        chunk = slice(done, done + new)
        with CHECK.doing("advance", f"append of {new} tokens to {done} held"):
            got = cache.append(keys[:, chunk], values[:, chunk])
        CHECK.true(
            isinstance(got, tuple) and len(got) == 2,
            "held_only",
            "what append returns",
            "a pair (keys, values)",
            type(got).__name__,
        )
        done += new
        CHECK.equal(cache.length, done, "advance", f"cache.length after {done} tokens")
        for name, tensor, want in (("keys", got[0], keys), ("values", got[1], values)):
            what = f"{name} returned with {done} tokens held"
            CHECK.true(
                tensor.shape[1] <= done,
                "held_only",
                what,
                f"{done} tokens",
                f"{tensor.shape[1]} tokens",
            )
            CHECK.close(tensor, want[:, :done], "advance", what)
        CHECK.true(
            cache.keys.data_ptr() == place and cache.keys.shape[1] == capacity,
            "in_place",
            "the tensor cache.keys after an append",
            "the same memory as before",
            "another tensor",
        )
    CHECK.refuses(
        lambda: cache.append(keys[:, :1], values[:, :1]),
        "overflow",
        "append to a full cache",
    )
    CHECK.equal(
        cache.length, capacity, "overflow", "cache.length after a refused append"
    )


def _check_step(
    cache_class: type, step, layer: Attention, x: Tensor, size: dict[str, int]
) -> None:
    batch, n, _ = x.shape
    prompt = size["prompt"]
    full = layer(x, torch.arange(n).expand(batch, n))
    for chunks in ([prompt], [n], [prompt, *[1] * (n - prompt)], [prompt, n - prompt]):
        cache, done = cache_class(batch, n, size["heads"], size["k"]), 0
        wrong = {hint: simulate(layer, x, chunks, **{hint: True}) for hint in SIMULATED}
        for new in chunks:
            chunk = slice(done, done + new)
            what = f"step over {new} token{'s' * (new > 1)} with {done} held"
            with CHECK.doing("output", what):
                got = step(layer, x[:, chunk], cache)
            mistakes = {hint: result[:, chunk] for hint, result in wrong.items()}
            CHECK.close(got, full[:, chunk], "output", what, mistakes)
            done += new


def _check_run(
    cache_class: type, step, run, layer: Attention, x: Tensor, size: dict[str, int]
) -> None:
    batch, n, _ = x.shape
    sizes: list[int] = []

    class Watched(cache_class):
        def append(self, keys, values):
            sizes.append(keys.shape[1])
            return super().append(keys, values)

    with CHECK.doing(
        "one_by_one",
        f"run over {size['prompt']} prompt tokens and {n - size['prompt']} more",
    ):
        got = run(layer, x, size["prompt"], Watched(batch, n, size["heads"], size["k"]))
    CHECK.equal(
        sizes,
        [size["prompt"], *[1] * (n - size["prompt"])],
        "one_by_one",
        "tokens appended by each step",
    )
    CHECK.close(
        got,
        layer(x, torch.arange(n).expand(batch, n)),
        "one_by_one",
        "outputs of run, in order",
    )


SIMULATED = ("scale", "causal", "mask_offset", "positions")


def simulate(layer: Attention, x: Tensor, chunks: list[int], **mistake: bool) -> Tensor:
    """Return what cached attention over `chunks` gives with one of the `SIMULATED`
    mistakes, or with none.
    """
    held, outputs = [], []
    done = 0
    for new in chunks:
        start = 0 if mistake.get("positions") else done
        q, k, v = layer.project(
            x[:, done : done + new],
            torch.arange(start, start + new).expand(len(x), new),
        )
        held.append((k, v))
        keys, values = (torch.cat(parts, 1) for parts in zip(*held, strict=True))
        scores = torch.einsum("bthk,bshk->bhts", q, keys) * (
            1 if mistake.get("scale") else layer.scale
        )
        here = torch.arange(new)[:, None] + (0 if mistake.get("mask_offset") else done)
        if not mistake.get("causal"):
            scores = scores.masked_fill(torch.arange(done + new) > here, -torch.inf)
        outputs.append(
            layer.wo(
                torch.einsum("bhts,bshk->bthk", scores.softmax(-1), values).flatten(2)
            )
        )
        done += new
    return torch.cat(outputs, 1)
