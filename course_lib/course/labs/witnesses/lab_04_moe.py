"""Lab 4's questions: routing, dispatch, capacity, balance, savings."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole

Names = Mapping[str, Any]


def _picks(rng: torch.Generator, n: int, e: int, k: int) -> Tensor:
    return torch.rand(n, e, generator=rng).topk(k, dim=1).indices


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n, e = size(rng, 5, 9), 4 * size(rng, 3, 4)
    logits, spread, noise = normal(rng, 3, n, e)
    bias, scale = normal(rng, e) - 1, 1.0 + size(rng, 1, 9)

    def table(function: str, *given: Any) -> Tensor:
        """Weights for every expert: the order of the picks is free."""
        picks, weights = names[function](*given)
        return reference.gates(picks, weights, e)

    for k in (1, 2):
        yield "mixtral_routing", lambda k=k: table("mixtral_routing", logits, k)
    given = logits, bias, 3, 4, 2, scale
    yield "v3_routing", lambda: table("v3_routing", *given)
    for training in (True, False):
        yield (
            "noisy_logits",
            lambda training=training: names["noisy_logits"](
                logits, spread, noise, training
            ),
        )


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n, e, k, d = size(rng, 5, 9), size(rng, 4, 6), 2, 3
    picks, x = _picks(rng, n, e, k), normal(rng, n, d)
    weights, matrices = normal(rng, n, k).exp(), normal(rng, e, d, d)
    slots, _ = reference.by_expert(picks, e)
    rows = normal(rng, n * k, d)
    experts = [lambda h, m=m: torch.tanh(h @ m) for m in matrices]
    own = {"by_expert": reference.by_expert, "combine": reference.combine}
    moe = names["moe"]
    yield "by_expert", lambda: names["by_expert"](picks, e)
    yield "combine", lambda: names["combine"](rows, slots, weights)
    yield "moe", lambda: helped(lambda: moe(x, picks, weights, experts), moe, **own)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n, e, k, places = size(rng, 9, 14), 4, 2, size(rng, 2, 4)
    picks, real = _picks(rng, n, e, k), whole(rng, 4, n) > 0
    kept = reference.within_capacity(picks, real, e, places)
    tokens = size(rng, 100, 9000)
    yield "capacity", lambda: names["capacity"](tokens, k, 7, 1.25)
    given = real, e, places
    yield "within_capacity", lambda: names["within_capacity"](picks, *given)
    yield "waste", lambda: names["waste"](kept, *given)


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n, e = size(rng, 6, 12), size(rng, 4, 7)
    logits, picks = normal(rng, n, e), _picks(rng, n, e, 2)
    real = whole(rng, 4, n) > 0
    real[0] = True
    yield "balance_loss", lambda: names["balance_loss"](logits, picks, real)
    yield "z_loss", lambda: names["z_loss"](logits, real)


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    e, n = size(rng, 4, 8), size(rng, 20, 40)
    bias, counts = normal(rng, e), whole(rng, 50, e)
    scores, steps = torch.rand(n, e, generator=rng).double(), size(rng, 3, 8)
    balance, own = names["balance"], {"update_bias": reference.update_bias}
    yield "update_bias", lambda: names["update_bias"](bias, counts, 0.01)
    yield (
        "balance",
        lambda: helped(lambda: balance(scores, 2, 0.01, steps), balance, **own),
    )


def exercise_6(rng: torch.Generator, names: Names) -> Iterator[Question]:
    weights, counts = normal(rng, 6, 4).exp(), whole(rng, 90, 9) + 1
    options = [
        {
            "loss": 1 + size(rng, 0, 90) / 100,
            "slots": 1 + size(rng, 1, 4) / 4,
            "experts": size(rng, 2, 8),
        }
        for _ in range(12)
    ]

    def chosen(base: float) -> list:
        best = names["choose"]([dict(one) for one in options], base, 0.25)
        return [best["loss"], best["slots"], best["experts"]]

    yield "skip", lambda: names["skip"](weights, 0.4)
    yield "keep_experts", lambda: names["keep_experts"](counts, 0.7)
    for base in (0.1, 1.2, 2.0):
        yield "choose", lambda base=base: chosen(base)
