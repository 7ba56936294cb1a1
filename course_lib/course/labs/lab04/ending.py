"""Lab 4, the ending: a report on a mixture of experts that runs on the student's
functions: who balances, what a capacity drops, what can be saved with quality held.

Symbols: e experts, k picks, C capacity.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab04.small_moe import (
    EXPERTS,
    HELD_OUT,
    PICKS,
    TO_CHOOSE,
    TO_REPORT,
    Answers,
    ByteMoE,
    ngram_lines,
    scored,
    trained,
)

STEPS, MARGIN = 400, 0.02
KINDS = {"none": "nobody", "loss": "balance loss", "bias": "bias"}


def report(**functions: Any) -> Iterator[str]:
    """Yield the lines of the report, from the lab's functions by name."""
    answers, start = Answers(**functions), time.process_time()
    steps = STEPS if os.environ.get("COURSE_PROFILE") != "smoke" else 100
    models = {kind: trained(answers, kind, steps) for kind in KINDS}
    yield (
        f"{EXPERTS} experts, {PICKS} picks, {steps} updates; "
        f"held out {HELD_OUT:,} bytes"
    )
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


def slimmed(
    answers: Answers, model: ByteMoE, threshold: float, kept: Tensor, part: slice
) -> tuple[float, float]:
    """Loss and experts computed for a token, with the experts in `kept` alone."""
    model.gone = torch.ones(EXPERTS, dtype=torch.bool)
    model.gone[kept] = False
    skip = partial(_skipped, answers, threshold)
    loss, _, weights = scored(model, skip, part)
    model.gone = torch.zeros(EXPERTS, dtype=torch.bool)
    return loss, float((weights > 0).double().sum(1).mean())


def _skipped(answers: Answers, threshold: float, _: Tensor, weights: Tensor) -> Tensor:
    return answers.skip(weights, threshold)


def _saving_lines(answers: Answers, model: ByteMoE) -> Iterator[str]:
    """Each pair of a threshold and a share, the one that is chosen on half of the
    text, and what it costs on the other half.
    """
    base, picks, _ = scored(model, part=TO_CHOOSE)
    _, counts = answers.by_expert(picks, EXPERTS)
    options = []
    for share in (1.0, 0.875, 0.75):
        kept = answers.keep_experts(counts, share)
        for threshold in (0.0, 0.25, 0.5, 0.75):
            given = threshold, kept
            loss, slots = slimmed(answers, model, *given, TO_CHOOSE)
            option = {"loss": loss, "slots": slots, "experts": len(kept)}
            options.append(option | {"given": given})
    best = answers.choose(options, base, MARGIN)
    for option in options:
        threshold, kept = option["given"]
        mib = len(kept) * model.bytes_per_expert / 2**20
        mark = "  <- chosen" if option is best else ""
        yield (
            f"  skip below {threshold:4.2f}, {len(kept)} experts: "
            f"loss {option['loss']:.3f}, "
            f"{option['slots']:.2f} experts a token, {mib:.2f} MiB{mark}"
        )
    base, _, _ = scored(model, part=TO_REPORT)
    loss, slots = slimmed(answers, model, *best["given"], TO_REPORT)
    yield (
        f"  on the half that chose nothing: {1 - slots / PICKS:.0%} less expert "
        f"compute, {1 - best['experts'] / EXPERTS:.0%} less expert memory, "
        f"loss {loss - base:+.3f}"
    )
