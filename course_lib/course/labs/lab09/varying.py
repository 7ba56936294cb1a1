"""Lab 9, exercise 4: a variant of one's own, judged by what every such layer must keep.

Symbols: b batch, t tokens of a segment, d width.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lab09.firing import fire_with_slope
from course_lib.course.labs.lab09.remembering import memory_attention
from course_lib.course.labs.lab09.retrieving import retrieve
from course_lib.course.labs.lending import helped

HINTS = {
    "names": "names() returns two tuples of different texts: at least two parts, and "
    "the weights.",
    "pair": "Return (y, memory); memory is None, a tensor, or a tuple of them.",
    "shape": "y has the shape and dtype of x.",
    "start": "At a text's start memory is None, and there is nothing to look back at.",
    "finite": "y holds NaN or infinity: a softmax over nothing, or a division by 0?",
    "outside": "Two texts read in turn must not meet: what is kept belongs into "
    "`memory`, not on self and not into a global name.",
    "chance": "The same call must give the same y: nothing random, and nothing kept "
    "outside of `memory`.",
    "rows": "Texts of a batch have nothing to do with each other: no mean, norm or "
    "softmax over the batch.",
    "future": "A token must not see a later one: mask, and take no mean or norm over "
    "the tokens of a segment.",
    "carried": "With all parts on, a segment must see something of the one before.",
    "edge": "At the segment's edge: the first token of a segment sees the last token "
    "of the segment before.",
    "detach": "Detach what is carried: gradients end at the segment's edge.",
    "grows": "What is carried must have a bound: after many segments it is as large as "
    "after a few.",
    "idle_part": "A part that changes nothing when it is left out cannot be ablated.",
    "order": "parts is a set of names: their order says nothing.",
    "bare": "Without any part the layer must still run: it is the base of the "
    "comparison.",
    "bare_moves": "With no part on there must be something left that mixes tokens: a "
    "base that does nothing proves nothing.",
    "idle_weight": "A weight that gets no gradient although all parts are on is a "
    "parameter that does nothing.",
    "flat": "y must depend on x, differentiably.",
    "short": "Segments may have any length from 1 token.",
    "dtype": "Make what you make in the dtype of x: float32 in, float32 out.",
}
CHECK = Checker("Exercise 4", HINTS)
PARTS, WEIGHTS = ("memory", "gate"), ("q", "k", "v", "o", "gate")


class Variant:
    """The course's own variant: attention that remembers a segment, behind a gate."""

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Its parts and its weights."""
        return PARTS, WEIGHTS

    def mix(
        self,
        x: Tensor,
        memory: Tensor | None,
        weights: dict[str, Tensor],
        parts: Sequence[str],
    ) -> tuple[Tensor, Tensor]:
        """One segment, and what the next one is to remember."""
        past = x[:, :0] if memory is None or "memory" not in parts else memory
        y, after = memory_attention(x, past, weights, 8)
        if "gate" in parts:
            y = torch.sigmoid(x @ weights["gate"].mT) * y
        return y, after


def check_variant(variant: type, seed: int = 0) -> str:
    """Check a class with `names() -> (parts, weights)` and `mix(x, memory, weights,
    parts) -> (y, memory)`, with the lab's own mechanisms beside it, or else the
    student's.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    own = {
        "memory_attention": memory_attention,
        "fire": fire_with_slope,
        "retrieve": retrieve,
    }
    helped(lambda: _check(variant, seed), variant.mix, **own)
    return (
        "Exercise 4: a variant that remembers, sees nothing ahead, and can be taken "
        "apart."
    )


class Layer:
    """A student's variant with its weights drawn, called in segments."""

    def __init__(self, variant: type, seed: int) -> None:
        one = variant()
        found = CHECK.call(one.names, what="names()")
        formed = isinstance(found, tuple | list) and len(found) == 2
        formed = formed and all(_are_names(one) for one in found)
        formed = formed and len(found[0]) >= 2 and len(found[1]) >= 1
        told = "at least two parts and a weight, by name"
        CHECK.true(formed, "names", "names()", told, found)
        self.parts, self.of = tuple(found[0]), one.mix
        self.rng, n = random_sizes(seed, b=(2, 3), d=(6, 8))
        self.batch, self.width = n["b"], n["d"]
        self.weights = {
            name: numbers(self.rng, self.width, self.width) / self.width**0.5
            for name in found[1]
        }

    def x(self, tokens: int) -> Tensor:
        """Random inputs."""
        return numbers(self.rng, self.batch, tokens, self.width)

    def __call__(
        self, x: Tensor, memory: Any = None, parts: Sequence[str] | None = None
    ) -> tuple[Tensor, Any]:
        parts = self.parts if parts is None else tuple(parts)
        what = f"Variant.mix of {x.shape[1]} tokens with the parts {parts}"
        crash = "bare" if not parts else "short" if x.shape[1] < 3 else "crash"
        given = x, memory, self.weights, parts
        try:
            got = CHECK.call(self.of, *given, what=what, crash=crash)
        except (TypeError, AttributeError) as error:
            if memory is None and "NoneType" in str(error):
                CHECK.fail("start", what, "no error", str(error))
            raise
        formed = isinstance(got, tuple | list) and len(got) == 2
        CHECK.true(formed, "pair", what, "(y, memory)", type(got).__name__)
        y, after = got
        formed = isinstance(y, Tensor) and y.shape == x.shape and y.dtype == x.dtype
        seen = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        CHECK.true(formed, "shape", f"y of {what}", tuple(x.shape), seen)
        finite = bool(y.isfinite().all())
        CHECK.true(finite, "finite", f"y of {what}", "finite numbers", "others")
        return y, after


def _are_names(one: Any) -> bool:
    texts = isinstance(one, tuple | list) and all(type(n) is str for n in one)
    return texts and len(set(one)) == len(one)


def _differ(a: Tensor, b: Tensor) -> bool:
    return not torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def _check(variant: type, seed: int) -> None:
    layer = Layer(variant, seed)
    for length in (6, 1, 3):
        layer(layer.x(length))
    first, second = layer.x(6), layer.x(5)
    whole = _two(layer, first, second)
    again = _two(layer, first, second)
    CHECK.true(not _differ(whole, again), "chance", "a second call", "the same", "not")
    _in_turn(layer, first, second, whole)
    _apart(layer, first, second, whole)
    for one, other in ((first, second), (layer.x(3), layer.x(2)), (layer.x(1), first)):
        _edge(layer, one, other)
    _bounded(layer)
    _parts(layer, first, second, whole)
    _gradients(layer, first, second)
    low = {name: one.float() for name, one in layer.weights.items()}
    given, what = (first.float(), None, low, layer.parts), "Variant.mix, in float32"
    y, _ = CHECK.call(layer.of, *given, what=what, crash="dtype")
    CHECK.true(y.dtype == torch.float32, "dtype", "y of float32", "float32", y.dtype)


def _two(
    layer: Layer, first: Tensor, second: Tensor, parts: Sequence[str] | None = None
) -> Tensor:
    """y of two segments in a row."""
    y, memory = layer(first, None, parts)
    return torch.cat([y, layer(second, memory, parts)[0]], 1)


def _in_turn(layer: Layer, first: Tensor, second: Tensor, whole: Tensor) -> None:
    """Another text is read between the two segments of one."""
    y, memory = layer(first)
    layer(layer.x(4), layer(layer.x(4))[1])
    y = torch.cat([y, layer(second, memory)[0]], 1)
    told = "y of a second segment after another text was read"
    CHECK.true(not _differ(y, whole), "outside", told, "the same", "another")


def _apart(layer: Layer, first: Tensor, second: Tensor, whole: Tensor) -> None:
    """Rows are apart, and no token sees a later one, of its segment or of the next."""
    for row in range(len(first)):
        alone = _two(layer, first[row : row + 1], second[row : row + 1])
        same = not _differ(alone, whole[row : row + 1])
        told = f"text {row} of a batch, alone"
        CHECK.true(same, "rows", told, "the same y", "another one")
    line = torch.cat([first, second], 1)
    for place in range(1, line.shape[1]):
        moved = line.clone()
        moved[:, place] += 1.0
        parts = moved.split([first.shape[1], second.shape[1]], 1)
        y = _two(layer, *parts)
        same = not _differ(y[:, :place], whole[:, :place])
        told = f"y before token {place} when that token changes"
        CHECK.true(same, "future", told, "the same", "changed")


def _edge(layer: Layer, first: Tensor, second: Tensor) -> None:
    """The last token of a segment is seen from the next one, by its first token too."""
    whole, moved, t = _two(layer, first, second), first.clone(), first.shape[1]
    y = _two(layer, first + 1.0, second)
    told = f"y of a segment when the {t} before it change"
    CHECK.true(_differ(y[:, t:], whole[:, t:]), "carried", told, "another", "the same")
    moved[:, -1] += 1.0
    y = _two(layer, moved, second)
    told = f"y of a segment when the last of {t} before it changes, at its first token"
    CHECK.true(_differ(y[:, t], whole[:, t]), "edge", told, "another", "the same")


def _tensors(kept: Any) -> Iterator[Tensor]:
    if isinstance(kept, Tensor):
        yield kept
    elif isinstance(kept, dict):
        yield from _tensors(list(kept.values()))
    elif isinstance(kept, tuple | list):
        for one in kept:
            yield from _tensors(one)


def _bounded(layer: Layer) -> None:
    sizes, memory = [], None
    for _ in range(24):
        _, memory = layer(layer.x(64), memory)
        sizes.append(sum(one.numel() for one in _tensors(memory)))
    told = "numbers carried after 24 segments of 64 tokens, and after 12"
    CHECK.true(sizes[23] == sizes[11], "grows", told, sizes[11], sizes[23])


def _parts(layer: Layer, first: Tensor, second: Tensor, whole: Tensor) -> None:
    for part in layer.parts:
        rest = tuple(one for one in layer.parts if one != part)
        told = f"y without the part {part!r}"
        y = _two(layer, first, second, rest)
        CHECK.true(_differ(y, whole), "idle_part", told, "another", "the same")
    turned = _two(layer, first, second, layer.parts[::-1])
    told, same = "y with the parts turned round", not _differ(turned, whole)
    CHECK.true(same, "order", told, "the same", "another")
    bare = _two(layer, first, second, ())
    moved = first.clone()
    moved[:, 0] += 1.0
    y, _ = layer(moved, None, ())
    t = first.shape[1]
    CHECK.true(
        _differ(y[:, 1:], bare[:, 1:t]),
        "bare_moves",
        "later tokens of the base when the first changes",
        "changed",
        "the same",
    )


def _gradients(layer: Layer, first: Tensor, second: Tensor) -> None:
    given = first.clone().requires_grad_()
    weights = {n: one.clone().requires_grad_() for n, one in layer.weights.items()}
    y, memory = layer.of(given, None, weights, layer.parts)
    with CHECK.doing("flat", "the gradient of y"):
        CHECK.true(y.requires_grad, "flat", "y", "a gradient", "none")
        slope = torch.autograd.grad(
            y.square().sum(), given, retain_graph=True, allow_unused=True
        )[0]
    moves = slope is not None and bool((slope.abs().sum(2) > 0).all())
    CHECK.true(moves, "flat", "the gradient of y in x", "some at every token", "none")
    held = any(one.requires_grad for one in _tensors(memory))
    told = "what is carried to the next segment"
    CHECK.true(not held, "detach", told, "without a gradient", "with its graph")
    following, _ = layer.of(second.clone(), memory, weights, layer.parts)
    back = torch.autograd.grad(
        following.square().sum(), given, retain_graph=True, allow_unused=True
    )[0]
    told = "the gradient of the second segment in the first one's inputs"
    CHECK.true(back is None or not back.abs().sum(), "detach", told, "none", "some")
    total = y.square().sum() + following.square().sum()
    slopes = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    for name, one in zip(weights, slopes, strict=True):
        works = one is not None and bool(one.abs().sum() > 0)
        told = f"the gradient of the weight {name!r}"
        CHECK.true(works, "idle_weight", told, "some", "none")
