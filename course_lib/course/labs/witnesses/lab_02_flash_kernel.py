"""The kernel lab's questions, run by Triton's interpreter."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from course_lib.course.labs.lab02_kernel.launching import launch
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size

Names = Mapping[str, Any]
BLOCKS = {"BLOCK_Q": 16, "BLOCK_K": 16}


def _tiles(n: int) -> int:
    return -(-n // 16)


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    t, s, width = size(rng, 17, 30), size(rng, 17, 40), size(rng, 17, 30)
    q, k, out = normal(rng, t, width), normal(rng, s, width), torch.zeros(t, s).double()

    def ask() -> Tensor:
        grid = (_tiles(t), _tiles(s))
        launch(
            names["score_tile"], grid, q, k, out, t, s, width, 0.3, **BLOCKS, WIDTH=32
        )
        return out

    yield "score_tile", ask


def _attend(kernel: str, rng: torch.Generator, names: Names) -> list[Tensor]:
    t = size(rng, 5, 20)
    s = t + size(rng, 0, 20)
    q, k, v = normal(rng, t, 16), normal(rng, s, 16), normal(rng, s, 16)
    y, lse = torch.zeros(t, 16).double(), torch.zeros(t).double()
    constants = BLOCKS | {"WIDTH": 16, "SUM": tl.float64}
    launch(names[kernel], (_tiles(t),), q, k, v, y, lse, t, s, 0.25, **constants)
    return [y, lse]


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    yield "flash", lambda: _attend("flash", rng, names)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    yield "flash_causal", lambda: _attend("flash_causal", rng, names)
