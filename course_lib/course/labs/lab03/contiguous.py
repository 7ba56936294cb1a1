"""Lab 3, exercise 1: a contiguous cache, and one step for prefill and decode alike.

Symbols: b batch, t new tokens, s tokens held, n all tokens, h heads, k head width, d
    model width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab03.reference import Cache, simulate, step
from course_lib.course.labs.lending import copied, spoil, strided
from course_lib.layers.attention.layer import Attention
from course_lib.layers.positions.rope import Rope

HINTS = {
    "advance": "A second append lands behind the first. Move self.length on by the "
    "number of new tokens.",
    "held_only": "Return only what was written so far. An empty slot must not reach "
    "the softmax.",
    "in_place": "Write into the tensors made in __init__. torch.cat copies the whole "
    "cache at every token.",
    "place": "New entries go into the slots from self.length on: keys into self.keys, "
    "values into self.values, every row of the batch.",
    "overflow": "Compare with the capacity before you write "
    "anything, and raise ValueError.",
    "capacity": "Exactly `capacity` tokens fit: refuse more than that, not as many.",
    "scale": "Divide the scores by the square root of the head "
    "width, as in the full forward.",
    "causal": "In a prefill or a chunk a query must not see the keys "
    "that come after it.",
    "mask_offset": "Query i of the chunk stands at position held + i, not at i, and "
    "sees all keys up to it.",
    "positions": "The new tokens continue the text: their positions start at the "
    "number of tokens held.",
    "appended": "step appends the new keys and values to the cache it is given, once.",
    "new_only": "Project each new token once, and no token again: one call of "
    "layer.project gives q, k and v.",
    "one_by_one": "Prefill takes the prompt in one step. Each later "
    "token is one step of its own.",
    "joined": "Join the outputs of the steps along the token axis, in order.",
    "output": "Heads are joined to [b t h*k], then layer.wo goes back to width d.",
}
CHECK = Checker("Exercise 1", HINTS)


def check_append(cache_class: type, seed: int = 0) -> str:
    """Check `ContiguousCache(batch, capacity, heads, head_dim)` with `append(keys,
    values)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    for batch in (size["batch"], 1):
        shape = batch, size["prompt"] + size["tail"], size["heads"], size["k"]
        entries = torch.randn(4, *shape, generator=rng).double()
        pairs = entries[:2], [strided(part) for part in entries[2:]]
        trials = [_Append(cache_class, shape, keys, values) for keys, values in pairs]
        for new in (size["prompt"], 1, size["tail"] - 2, 1):  # two caches in turn
            for trial in trials:
                if trial.done == trial.capacity - 1:
                    trial.refuse(2)
                trial.append(new)
            for trial in trials:
                trial.look("own_state", f"{new} tokens came to another cache")
        for trial in trials:
            trial.refuse(1)
    return "Exercise 1: append writes in place, and refuses what does not fit."


class _Append:
    """One cache, and the entries that it is given in turn."""

    def __init__(self, cache_class: type, shape: tuple, keys, values) -> None:
        self.keys, self.values, self.done = keys, values, 0
        self.capacity = shape[1]
        self.cache = cache_class(*shape)
        self.places = self._places()

    def _places(self) -> tuple[int, int]:
        return self.cache.keys.data_ptr(), self.cache.values.data_ptr()

    def append(self, new: int) -> None:
        end = self.done + new
        what = f"append of {new} tokens to {self.done} held"
        lent = copied([x[:, self.done : end] for x in (self.keys, self.values)])
        crash = "capacity" if end == self.capacity else "crash"
        got = CHECK.call(_Through(self.cache, lent), what=what, crash=crash)
        CHECK.true(
            type(got) is tuple and len(got) == 2,
            "held_only",
            f"what {what} returns",
            "a pair (keys, values)",
            type(got).__name__,
        )
        self.done = end
        length = f"cache.length after {end} tokens"
        CHECK.equal(self.cache.length, end, "advance", length)
        for name, tensor, want in zip(
            ("keys", "values"), got, (self.keys, self.values), strict=True
        ):
            told = f"{name} returned with {end} tokens held"
            tokens = tensor.shape[1] if isinstance(tensor, Tensor) else None
            CHECK.equal(tokens, end, "held_only", f"number of {told}")
            CHECK.close(tensor, want[:, :end], "place", told)
        CHECK.true(
            self._places() == self.places and self.cache.keys.shape[1] == self.capacity,
            "in_place",
            "the tensor cache.keys after an append",
            "the same memory as before",
            "another tensor",
        )
        self.look("in_place", what)
        spoil(*lent)
        self.look("kept_copy", f"the tensors given to {what} were written over")

    def look(self, hint: str, after: str) -> None:
        """The cache's own tensors hold what was appended."""
        for name in ("keys", "values"):
            want = getattr(self, name)[:, : self.done]
            held = getattr(self.cache, name)[:, : self.done]
            CHECK.close(held, want, hint, f"cache.{name} after {after}")

    def refuse(self, more: int) -> None:
        """`more` tokens do not fit: the cache refuses them and stays as it was."""
        before = copied([self.cache.keys, self.cache.values])
        tokens = [x[:, :more].clone() for x in (self.keys, self.values)]
        told = f"append of {more} tokens to {self.done} held of {self.capacity}"
        CHECK.refuses(lambda: self.cache.append(*tokens), "overflow", told)
        told = f"after a refused {told}"
        CHECK.equal(self.cache.length, self.done, "overflow", f"cache.length {told}")
        for name, own in zip(("keys", "values"), before, strict=True):
            now = getattr(self.cache, name)
            CHECK.close(now, own, "overflow", f"cache.{name} {told}")


class _Through:
    """An append of tensors that the caller keeps a hand on."""

    def __init__(self, cache, lent: list[Tensor]) -> None:
        self.cache, self.lent = cache, lent

    def __call__(self):
        before = copied(self.lent)
        got = self.cache.append(*self.lent)
        for lent, own in zip(self.lent, before, strict=True):
            same = torch.equal(lent, own)
            CHECK.true(
                same, "unchanged", "what append was given", "as it was", "changed"
            )
        return got


def check_step(step_of, seed: int = 0) -> str:
    """Check `step(layer, x, cache)`, on the lab's own cache.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    prompt, n = size["prompt"], size["prompt"] + size["tail"]
    layer = _layer(size, rng)
    for number, chunks in enumerate(
        ([prompt], [n], [prompt, *[1] * (n - prompt)], [prompt, n - prompt], [1] * n)
    ):
        batch = 1 if number % 2 else size["batch"]
        x = torch.randn(batch, n, layer.wq.in_features, generator=rng).double()
        _check_step(step_of, layer, strided(x) if number > 2 else x, chunks)
    return "Exercise 1: a step sees the held tokens, and projects the new ones only."


@torch.no_grad()
def _check_step(step_of, layer: Attention, x: Tensor, chunks: list[int]) -> None:
    batch, n, _ = x.shape
    full, done = layer(x, torch.arange(n).expand(batch, n)), 0
    cache = Cache(batch, n, layer.heads, layer.head_dim)
    wrong = {hint: simulate(layer, x, chunks, **{hint: True}) for hint in SIMULATED}
    before = copied(dict(layer.named_parameters()))
    for new in chunks:
        chunk = slice(done, done + new)
        what = f"step over {new} token{'s' * (new > 1)} with {done} held"
        with _projected(layer) as tokens:
            got = CHECK.call(
                lambda part: step_of(layer, part, cache), x[:, chunk], what=what
            )
        done += new
        mistakes = {hint: result[:, chunk] for hint, result in wrong.items()}
        CHECK.close(got, full[:, chunk], "compare", what, mistakes, shape="output")
        CHECK.equal(cache.length, done, "appended", f"cache.length after {what}")
        CHECK.true(
            max(tokens) <= batch * new,
            "new_only",
            f"tokens projected to keys by {what}, batch {batch}",
            batch * new,
            max(tokens),
        )
    for name, weight in layer.named_parameters():
        CHECK.close(weight, before[name], "unchanged", f"layer.{name} after the steps")


@contextmanager
def _projected(layer: Attention) -> Iterator[list[int]]:
    """Count the tokens that the layer's projections are given, to q, k and v."""
    tokens = [0, 0, 0]

    def count(place: int):
        def hook(module, inputs, output) -> None:
            tokens[place] += inputs[0].shape[:-1].numel()

        return hook

    parts = enumerate((layer.wq, layer.wk, layer.wv))
    hooks = [part.register_forward_hook(count(place)) for place, part in parts]
    try:
        yield tokens
    finally:
        for hook in hooks:
            hook.remove()


def check_run(cache_class: type, step_of, run, seed: int = 0) -> str:
    """Check `run(layer, x, prompt, cache)`; with the lab's own cache and step, or else
    with the student's.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    layer = _layer(size, rng)
    prompt, n = size["prompt"], size["prompt"] + size["tail"]
    for batch, first in ((size["batch"], prompt), (1, 1), (1, n)):
        x = torch.randn(batch, n, layer.wq.in_features, generator=rng).double()
        try:
            _check_run(Cache, step, run, layer, x, first)
        except Exception as failed:  # the student's code may raise anything
            try:
                _check_run(cache_class, step_of, run, layer, x, first)
            except Exception:
                raise failed from None
    return "Exercise 1: cached prefill and decode equal the full forward."


@torch.no_grad()
def _check_run(
    cache_class, step_of, run, layer: Attention, x: Tensor, first: int
) -> None:
    batch, n, _ = x.shape
    sizes: list[int] = []

    def counted(layer, x, cache):
        sizes.append(x.shape[1])
        return step_of(layer, x, cache)

    what = f"run over {first} prompt tokens and {n - first} more"
    cache = cache_class(batch, n, layer.heads, layer.head_dim)
    names = getattr(run, "__globals__", {})
    with patch.dict(names, {"step": counted}), _projected(layer) as tokens:
        got = CHECK.call(lambda x: run(layer, x, first, cache), x, what=what)
    steps = [first, *[1] * (n - first)]
    if sizes[-1:] == [0]:  # one step of nothing, of the text after a whole prompt
        sizes.pop()
    CHECK.equal(sizes, steps, "one_by_one", f"tokens that each step took in {what}")
    want = layer(x, torch.arange(n).expand(batch, n))
    CHECK.close(got, want, "joined", f"outputs of {what}")
    CHECK.equal(cache.length, n, "one_by_one", f"cache.length after {what}")
    told = f"tokens projected by {what}, batch {batch}"
    CHECK.true(max(tokens) <= batch * n, "new_only", told, batch * n, max(tokens))


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int]]:
    rng, size = random_sizes(
        seed, batch=(2, 3), heads=(2, 4), prompt=(3, 6), tail=(3, 5), half=(1, 3)
    )
    size["k"] = 2 * size.pop("half") + 2
    return rng, size


def _layer(size: dict[str, int], rng: torch.Generator) -> Attention:
    """A small layer with as many KV heads as heads, float64, weights of order one."""
    heads, width = size["heads"], size["k"]
    layer = Attention(heads * width + 1, heads, heads, width, rope=Rope(dim=width))
    for weight in layer.double().parameters():
        weight.data = (
            torch.randn(weight.shape, generator=rng).double() / weight.shape[-1] ** 0.5
        )
    return layer.requires_grad_(False)


SIMULATED = ("scale", "causal", "mask_offset", "positions")
