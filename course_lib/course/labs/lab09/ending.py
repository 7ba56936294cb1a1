"""Lab 9, the ending: a search among small stacks that are trained here, and the report
on the student's own runs, recomputed.

Symbols: b batch, t tokens.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from course_lib.course.labs.lab09 import (
    choosing,
    designing,
    pairing,
    pricing,
    reporting,
    searching,
)
from course_lib.course.labs.lab09.reporting import read_numbers
from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.models.lm import CausalLM
from course_lib.tasks.recall import associative_recall

LETTERS, LAYERS, EVALUATIONS, TOP, SEEDS = "awc", 2, 6, 3, (5, 6, 7)
SIZES = pricing.Sizes(16, 2, 2, 8, 32, 24, 4)
PAIRS, BATCH, UPDATES, RATE = 4, 16, 40, 1e-2


@dataclass(frozen=True)
class Answers:
    """The student's functions, by the names of the lab."""

    price: Callable
    exceeded: Callable
    front: Callable
    random_search: Callable
    chosen: Callable
    numbers: Callable
    report: Callable


def own() -> Answers:
    """The course's own functions; a report is the student's alone."""
    return Answers(
        price=pricing.price,
        exceeded=designing.exceeded,
        front=searching.front,
        random_search=searching.random_search,
        chosen=choosing.chosen,
        numbers=reporting.numbers,
        report=lambda runs: "",
    )


def loss(pattern: str, seed: int, part: str = "valid") -> float:
    """Nats an answer of associative recall, after a short training."""
    torch.manual_seed(seed)
    model = CausalLM(_spec(pattern))
    rng = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(model.parameters(), RATE)
    steps = UPDATES if os.environ.get("COURSE_PROFILE") != "smoke" else 5
    for _ in range(steps):
        found = _loss(model, associative_recall(BATCH, PAIRS, PAIRS, SIZES.vocab, rng))
        adam.zero_grad()
        found.backward()
        adam.step()
    held = torch.Generator().manual_seed({"valid": 77, "test": 78}[part])
    with torch.no_grad():
        rows = associative_recall(128, PAIRS, PAIRS, SIZES.vocab, held, part="valid")
        return float(_loss(model, rows))


def _spec(pattern: str) -> Any:
    return hybrid_spec(
        pattern,
        SIZES.width,
        SIZES.heads,
        window=SIZES.window,
        ffn=SIZES.ffn,
        vocab=SIZES.vocab,
    )


def _loss(model: CausalLM, rows: Any) -> torch.Tensor:
    logits = model(rows.tokens[:, :-1])
    mask = rows.mask[:, 1:]
    return cross_entropy(logits[mask], rows.tokens[:, 1:][mask])


def searched(answers: Answers, scores: dict) -> tuple[dict, dict, list[str]]:
    """What a search found, what was chosen, and the front of bytes and loss. `scores`
    keeps each training, so that it is not done twice.
    """
    random, context = Random(3), 4096
    price = partial(answers.price, sizes=SIZES, context=context)
    budget = {"cache_bytes": price("aw")["cache_bytes"]}

    def kept(pattern: str, seed: int, part: str = "valid") -> float:
        key = pattern, seed, part
        if key not in scores:
            scores[key] = loss(*key)
        return scores[key]

    found = answers.random_search(
        lambda: "".join(random.choices(LETTERS, k=LAYERS)),
        lambda pattern: not answers.exceeded(price(pattern), budget),
        lambda pattern: kept(pattern, 0),
        EVALUATIONS,
        200,
    )
    choice = answers.chosen(
        found, kept, lambda pattern: kept(pattern, 5, "test"), TOP, list(SEEDS)
    )
    points = {
        name: (float(price(name)["cache_bytes"]), score)
        for name, score in found.items()
    }
    return found, choice, answers.front(points)


def report(runs: Sequence[dict], **functions: Any) -> Iterator[str]:
    """Yield the lines of the ending, from the lab's functions by name."""
    answers, start, scores = Answers(**functions), time.process_time(), {}
    found, choice, front = searched(answers, scores)
    yield "1. A search among stacks of two layers, trained here for some seconds"
    yield "   stack   bytes at 4,096   loss (one seed)"
    for name, score in found.items():
        nbytes = answers.price(name, SIZES, 4096)["cache_bytes"]
        mark = "  on the front" if name in front else ""
        yield f"   {name:5}{nbytes:17,}{score:18.3f}{mark}"
    winner = choice["winner"]
    yield (
        f"   chosen: {winner}; found {choice['searched']:.3f}, fresh "
        f"{choice['fresh']:.3f}, test {choice['test']:.3f}; the search flattered its "
        f"best {TOP} by {choice['curse']:+.3f}"
    )
    again = searched(own(), scores)
    yield _said("the search", (found, choice, front) == again)
    yield "2. Your report"
    text = answers.report(list(runs))
    yield from (f"   {line}" for line in text.splitlines())
    count = len(read_numbers(text))
    yield f"   {count} numbers in it, recomputed from {len(runs)} runs"
    try:
        reporting.check_report(lambda given: text if given == list(runs) else
                               answers.report(given), runs=runs)  # fmt: skip
        yield _said("the report", True)
    except AssertionError as error:
        yield _said("the report", False)
        yield f"   {error}"
    yield f"{time.process_time() - start:.0f} CPU seconds"


def _said(what: str, agrees: bool) -> str:
    return f"   {what}: {'agrees' if agrees else 'DIFFERS: look at your pieces'}"


def false_alarms(paired_of: Callable, trials: int = 400, seeds: int = 5) -> list[str]:
    """How often two equal designs are told apart, by three rules."""
    random, alarms = Random(0), [0, 0, 0]
    for _ in range(trials):
        first, second = (
            {seed: random.gauss(0, 1) for seed in range(seeds)} for _ in "ab"
        )
        _, low, high = paired_of(first, second)
        middle, half = (low + high) / 2, (high - low) / 2
        narrow = half / pairing.quantile(0.975, seeds - 1) * 1.96
        alarms[0] += not low <= 0 <= high
        alarms[1] += abs(middle) > narrow
        gap = min(first.values()) - min(second.values())
        alarms[2] += abs(gap) > half
    rules = (
        "mean and t interval",
        "mean and 1.96 standard errors",
        "best seed against best seed",
    )
    return [
        f"{rule:32}{100 * count / trials:6.1f} %"
        for rule, count in zip(rules, alarms, strict=True)
    ]


def lucky_winners(chosen_of: Callable, designs: int = 40) -> str:
    """The choice among designs of one quality, whose scores are luck alone."""
    quality, spread = 1.5, 0.02
    found = {f"s{i}": quality + Random(i).gauss(0, spread) for i in range(designs)}

    def again(name: str, seed: int) -> float:
        return quality + Random(f"{name} {seed}").gauss(0, spread)

    got = chosen_of(found, again, lambda name: again(name, 99), 5, [1, 2, 3, 4, 5])
    return (
        f"{designs} equal designs of {quality} nats: the winner was found at "
        f"{got['searched']:.3f}, is {got['fresh']:.3f} with fresh seeds and "
        f"{got['test']:.3f} on the test set; the best five were flattered by "
        f"{got['curse']:.3f}."
    )
