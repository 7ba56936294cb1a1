"""Lab 4, the ending: a report on a mixture of experts that runs on the student's
functions: who balances, what a capacity drops, what can be saved with quality held.

Symbols: e experts, k picks, C capacity.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab04.small_moe import (
    EXPERTS,
    HELD_OUT,
    PICKS,
    Answers,
    ByteMoE,
    ngram_lines,
    scored,
    trained,
)

STEPS, MARGIN = 500, 0.02
KINDS = {"none": "nobody", "loss": "balance loss", "bias": "bias"}


def report(**functions: Any) -> Iterator[str]:
    """Yield the lines of the report, from the lab's functions by name."""
    answers, start = Answers(**functions), time.process_time()
    steps = STEPS if os.environ.get("COURSE_PROFILE") != "smoke" else 100
    models = {kind: trained(answers, kind, steps) for kind in KINDS}
    yield f"{EXPERTS} experts, {PICKS} picks, {steps} updates; held out {HELD_OUT:,} bytes"
    for order, loss in ngram_lines().items():
        yield f"  a count table of {order} bytes (Kneser-Ney)    {loss:.3f} nats a byte"
    yield "1. Who balances"
    for kind, model in models.items():
        yield _balance_line(KINDS[kind], answers, model)
    model = models["bias"]
    yield "2. What a capacity drops (balanced by the bias)"
    yield from _capacity_lines(answers, model)
    yield f"3. What can be saved within {MARGIN} nats a byte"
    yield from _saving_lines(answers, model)
    yield f"{time.process_time() - start:.0f} CPU seconds"


def _balance_line(name: str, answers: Answers, model: ByteMoE) -> str:
    loss, picks, _ = scored(model)
    _, counts = answers.by_expert(picks, EXPERTS)
    ratio = float(counts.max() / counts.double().mean())
    unused = int((counts < 0.1 * counts.double().mean()).sum())
    return (
        f"  {name:14} loss {loss:.3f}, largest load {ratio:.2f} times the mean, "
        f"{unused} experts below a tenth of it"
    )


def _capacity_lines(answers: Answers, model: ByteMoE) -> Iterator[str]:
    real = torch.ones(HELD_OUT, dtype=torch.bool)
    for factor in (1.0, 1.25, 2.0):
        places = answers.capacity(HELD_OUT, PICKS, EXPERTS, factor)
        found: list[Tensor] = []

        def drop(picks: Tensor, weights: Tensor, places=places, found=found) -> Tensor:
            found.append(answers.within_capacity(picks, real, EXPERTS, places))
            return weights * found[0]

        loss, _, _ = scored(model, drop)
        dropped, empty = answers.waste(found[0], real, EXPERTS, places)
        yield (
            f"  c = {factor:4}: C = {places:5,}, {dropped:5.1%} of slots dropped, "
            f"{empty:5.1%} of places empty, loss {loss:.3f}"
        )


def options(answers: Answers, model: ByteMoE) -> list[dict]:
    """What each pair of a threshold and a share costs."""
    base, picks, _ = scored(model)
    _, counts = answers.by_expert(picks, EXPERTS)
    found = []
    for share in (1.0, 0.875, 0.75):
        kept = answers.keep_experts(counts, share)
        model.gone = torch.ones(EXPERTS, dtype=torch.bool)
        model.gone[kept] = False
        for threshold in (0.0, 0.25, 0.5, 0.75):
            loss, _, weights = scored(
                model, lambda _, w, threshold=threshold: answers.skip(w, threshold)
            )
            slots = float((weights > 0).double().sum(1).mean())
            name = f"skip below {threshold:4.2f}, {len(kept)} experts"
            found.append(
                {"name": name, "loss": loss, "slots": slots, "experts": len(kept)}
            )
    model.gone = torch.zeros(EXPERTS, dtype=torch.bool)
    return found


def _saving_lines(answers: Answers, model: ByteMoE) -> Iterator[str]:
    base, _, _ = scored(model)
    found = options(answers, model)
    best = answers.choose(found, base, MARGIN)
    for option in found:
        mib = option["experts"] * model.bytes_per_expert / 2**20
        mark = "  <- chosen" if option == best else ""
        yield (
            f"  {option['name']:28} loss {option['loss']:.3f}, "
            f"{option['slots']:.2f} experts a token, {mib:.2f} MiB{mark}"
        )
    yield (
        f"  chosen: {1 - best['slots'] / PICKS:.0%} less expert compute, "
        f"{1 - best['experts'] / EXPERTS:.0%} less expert memory, "
        f"loss {best['loss'] - base:+.3f}"
    )
