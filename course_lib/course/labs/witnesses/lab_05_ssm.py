"""Lab 5's questions: discretise, scan, convolve, select, average, correct, compare."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab05 import recalling, reference, selecting, tabling
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n, t = size(rng, 3, 6), size(rng, 2, 4)
    given = -normal(rng, n).abs(), normal(rng, n), normal(rng, t, 1).abs()
    yield "zoh", lambda: names["zoh"](*given)
    yield "bilinear", lambda: names["bilinear"](*given)


def _steps(rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    b, t, n = size(rng, 1, 3), size(rng, 4, 8), size(rng, 2, 4)
    return normal(rng, b, t, n).sigmoid(), normal(rng, b, t, n), normal(rng, b, n)


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    given = _steps(rng)
    grad, states = normal(rng, *given[1].shape), reference.scan(*given)
    back = given[0], states, given[2], grad
    yield "scan", lambda: names["scan"](*given)
    yield "scan_gradient", lambda: names["scan_gradient"](*back)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, t, d, w = (size(rng, low, low + 3) for low in (1, 3, 2, 2))
    fixed, kept = (normal(rng, d, w), normal(rng, d)), normal(rng, b, w - 1, d)
    x, conv = normal(rng, b, t, d), names["short_conv"]
    yield "short_conv", lambda: conv(x, *fixed, None)
    yield "short_conv", lambda: conv(x, *fixed, kept)


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, t, d = size(rng, 1, 3), size(rng, 3, 6), size(rng, 3, 4)
    named, x = selecting.weights(rng, d, 5, 2, 3, 4), normal(rng, b, t, d)
    cache = normal(rng, b, 3, 5), normal(rng, b, 5, 2)
    u, block = normal(rng, b, t, 5), names["block"]
    yield "select", lambda: names["select"](u, named)
    for start in (None, cache):
        yield (
            "block",
            lambda start=start: helped(
                lambda: block(x, named, start), block, **selecting.OWN
            ),
        )


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, t, d = size(rng, 1, 3), size(rng, 4, 7), size(rng, 2, 4)
    k, v = 30 * normal(rng, b, t, d), normal(rng, b, t, d)
    fixed, wkv = (-normal(rng, d).abs(), normal(rng, d)), names["wkv"]

    def later() -> Tensor:
        """The second piece alone: what a state means is free."""
        _, state = wkv(k[:, :2], v[:, :2], *fixed, None)
        return wkv(k[:, 2:], v[:, 2:], *fixed, state)[0]

    yield "wkv", lambda: wkv(k, v, *fixed, None)[0]
    yield "wkv", later


def exercise_6(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, t, k, v = (size(rng, low, low + 3) for low in (1, 5, 2, 2))
    keys = torch.nn.functional.normalize(normal(rng, b, t, k), dim=2)
    gates = normal(rng, b, t).sigmoid(), -normal(rng, b, t).abs()
    given = normal(rng, b, t, k), keys, normal(rng, b, t, v), *gates
    state, chunk = normal(rng, b, k, v), size(rng, 2, 4)
    for start in (None, state):
        yield "delta", lambda start=start: names["delta"](*given, start)
        yield (
            "delta_chunked",
            lambda start=start: names["delta_chunked"](*given, start, chunk),
        )


def exercise_7(rng: torch.Generator, names: Names) -> Iterator[Question]:
    m, t = size(rng, 6, 9), size(rng, 30, 50)
    codes = torch.nn.functional.normalize(normal(rng, m, 8), dim=1)
    tokens = torch.randint(3, (t,), generator=rng).cumsum(0) % m
    lengths = [16, 32, 64, 128]
    costs = [float(one) for one in normal(rng, 4).exp() * torch.tensor(lengths)]
    results = tabling.random_results(rng)
    row, names_of = names["table"], ("task", "mixer", "gap", "time", "memory")

    def rows() -> list:
        found = helped(lambda: row(results), row, growth=tabling.growth)
        return [[one[name] for name in names_of] for one in found]

    memory = recalling.softmax_memory
    yield "successors", lambda: names["successors"](memory, tokens, codes)
    yield "growth", lambda: names["growth"](lengths, costs)
    yield "table", rows
