"""Lab 2's questions: attention, heads, RoPE, online softmax, SwiGLU, leaks."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab02.online import RIGHT
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole, with_diagonal

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, t, s, h, k = 2, size(rng, 3, 5), size(rng, 5, 7), size(rng, 2, 3), 4
    places = (torch.arange(s - t, s), torch.arange(s))
    q, keys, values = (
        normal(rng, b, t, h, k),
        normal(rng, b, s, h, k),
        normal(rng, b, s, h, 3),
    )
    mask = whole(rng, 2, b, t, s) > 0
    yield "causal_mask", lambda: names["causal_mask"](*places)
    yield "scaled_attention", lambda: names["scaled_attention"](q, keys, values, mask)


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    groups, per_group, k, t = size(rng, 2, 3), 2, size(rng, 2, 4), size(rng, 4, 6)
    heads, d = groups * per_group, 7
    x, y = normal(rng, 2, t, heads * k), normal(rng, 2, t, heads, k)
    weights = {
        "q": normal(rng, heads * k, d),
        "k": normal(rng, groups * k, d),
        "v": normal(rng, groups * k, d),
        "o": normal(rng, d, heads * k),
    }
    given = (normal(rng, 2, t, d), weights, heads, groups, with_diagonal(rng, 2, t))
    yield "split_heads", lambda: names["split_heads"](x, heads)
    yield "merge_heads", lambda: names["merge_heads"](y)
    yield "to_groups", lambda: names["to_groups"](weights["q"], heads, groups)
    layer, helpers = names["layer"], {"split_heads": _split, "merge_heads": _merge}
    yield "layer", lambda: helped(lambda: layer(*given), layer, **helpers)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))


def _merge(y: Tensor) -> Tensor:
    return y.flatten(-2)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    t, h, k = size(rng, 3, 5), size(rng, 2, 3), 2 * size(rng, 2, 5)
    theta = float(10 ** size(rng, 3, 6))
    places, later = whole(rng, 9000, t), whole(rng, 9000, t + 1)
    q, keys = normal(rng, t, h, k), normal(rng, t + 1, h, k)
    yield "frequencies", lambda: names["frequencies"](k, theta)
    rotate, scores = names["rotate"], names["scores"]
    turned = {"rotate": _turned, "frequencies": _frequencies}
    yield (
        "rotate",
        lambda: helped(
            lambda: rotate(q, places, theta), rotate, frequencies=_frequencies
        ),
    )
    yield (
        "scores",
        lambda: helped(lambda: scores(q, keys, places, later, theta), scores, **turned),
    )


def _frequencies(width: int, theta: float) -> Tensor:
    return theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


def _turned(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    angle = positions[:, None, None] * _frequencies(x.shape[-1], theta)
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    t, n, v = size(rng, 3, 5), size(rng, 11, 17), size(rng, 2, 4)
    state = (normal(rng, t), normal(rng, t).exp(), normal(rng, t, v))
    block, values = 30 * normal(rng, t, 4), normal(rng, 4, v)
    q, keys, all_values = normal(rng, t, 6), normal(rng, n, 6), normal(rng, n, v)
    yield "fold", lambda: names["fold"](state, block, values)
    tiled, widths = names["tiled_attention"], (size(rng, 2, 5), n + 1)

    def ask() -> list:
        return [tiled(q, keys, all_values, width) for width in widths]

    yield "tiled_attention", lambda: helped(ask, tiled, fold=RIGHT.fold)


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    d, f = size(rng, 3, 5), size(rng, 6, 9)
    x, gate, up = normal(rng, 2, 3, d), normal(rng, f, d), normal(rng, f, d)
    yield "swiglu", lambda: names["swiglu"](x, gate, up, normal(rng, d, f))
    width, multiple = size(rng, 1000, 20000), 2 ** size(rng, 3, 8)
    yield "equal_width", lambda: names["equal_width"](width, multiple)


def exercise_6(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n = size(rng, 5, 7)
    reads = with_diagonal(rng, 1, n)[0].tril() | (whole(rng, 4, n, n) == 0)

    def layer(x: Tensor) -> Tensor:
        return torch.einsum("ts,bsd->btd", reads.double(), x.tanh())

    x = normal(rng, 2, n, 4)
    yield "leaks", lambda: names["leaks"](layer, x)
