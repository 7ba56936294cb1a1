"""How good is the stack that a search finds, once it is trained again?

Stacks of four layers, each of which attends to everything (a), to the last four tokens
(w), keeps lightning attention's state (n), or is a short convolution (c); width 32, a
feed-forward network after each. Three limits: 41,000 parameters, 146,000 FLOPs a token
and 36 KiB of cache, both at 256 tokens. 115 of the 256 patterns keep them.

The task is induction (`tasks.recall`): rows of 20 tokens out of 16, each repeating
after 4 to 10 tokens, and the loss is that of the tokens which can be known. Batches of
24 rows, AdamW at 1e-2. Whoever knows only which tokens were seen, and not their order,
reaches "seen before".

    table     every pattern in budget, trained once with each search seed; a search
              looks its scores up here, so that many searches cost no more than one
    searches  of the first seed: random, and Optuna's NSGA-II, 36 evaluations each,
              on loss and cache bytes
    fresh     the five best losses of NSGA-II's search, with 12 seeds that no search saw
    longer    the first and the last of them with twice the updates, 6 of these seeds
    rates     the five at half and at double the rate, one seed

Searches are scored on `valid`; `test` holds other rows, on which nothing is chosen.
Runs that were finished are kept in `_build/experiments`, or where `COURSE_RUNS` says.
"""

import json
import math
import time
from collections.abc import Mapping

import torch
from torch import nn

from course_lib.kit.runtime import by_profile
from course_lib.models.build import build_model
from course_lib.search.searches import Search, random_search
from course_lib.search.space import Budget, Space
from course_lib.search.with_optuna import optuna_search
from course_lib.tasks.recall import Recall, induction
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import FIRST, Measurement
from course_lib.train.loop import evaluate, train
from course_lib.train.objectives import causal_batch
from course_lib.train.recording import runs_folder

VOCAB, HALF, PERIODS, ROWS = 16, 10, (4, 10), 24
LETTERS, LAYERS = "awnc", 4
CONTEXT = 256  # tokens at which FLOPs and cache are counted
SIZES = {"width": 32, "heads": 4, "kv_heads": 2, "ffn": 64, "window": 4, "vocab": VOCAB}
LIMITS = {"params": 41_000, "flops": 146_000, "cache_bytes": 36 * 1024}
UPDATES, RATE = by_profile(smoke=3, cpu=150, gpu=150), 1e-2
EVALUATIONS, TOP = 36, 5
SEARCH_SEEDS = range(by_profile(smoke=1, cpu=2, gpu=8))
FRESH_SEEDS = range(100, by_profile(smoke=102, cpu=112, gpu=164))
LONGER_SEEDS = range(100, by_profile(smoke=102, cpu=106, gpu=116))
RATES, RATE_SEED = (0.5, 2.0), 100
VALID, TEST = 128, 256  # rows


def stacks() -> Space:
    """The space of the search with its budget."""
    return Space(LETTERS, LAYERS, context=CONTEXT, budget=Budget(**LIMITS), **SIZES)


def rows(count: int, generator: torch.Generator, part: str) -> Recall:
    """Rows of the task, and which of their tokens can be known."""
    return induction(count, HALF, VOCAB, generator, part=part, periods=PERIODS)


def drawn(generator: torch.Generator) -> Batch:
    """A training batch."""
    return causal_batch(*rows(ROWS, generator, "train"))


def held_out() -> dict[str, Batch]:
    """Rows that no training batch holds: one part to choose on, one to report."""
    found = rows(VALID + TEST, torch.Generator().manual_seed(99), "valid")
    return {
        "valid": causal_batch(found.tokens[:VALID], found.mask[:VALID]),
        "test": causal_batch(found.tokens[VALID:], found.mask[VALID:]),
    }


def seen_before(batch: Batch) -> float:
    """Loss of a guess among the tokens of the period that are not the last one: it
    knows what was seen, and not in which order.
    """
    others = [len(set(row.tolist())) - 1 for row in batch.inputs]
    counts = batch.mask.sum(1).tolist()
    total = sum(n * math.log(k) for n, k in zip(counts, others, strict=True))
    return total / sum(counts)


class Trained:
    """Losses of patterns; each run is made once and kept."""

    def __init__(self, space: Space) -> None:
        self.space, self.scored = space, held_out()
        self.file = runs_folder() / f"search_stacks.{UPDATES}.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = self.file.read_text().splitlines() if self.file.is_file() else []
        self.known = {tuple(run["key"]): run for run in map(json.loads, lines)}

    def run(self, pattern: str, seed: int, longer: int = 1, rate: float = 1.0) -> dict:
        """Held-out losses of one training, and its CPU seconds."""
        key = pattern, seed, longer, rate
        if key not in self.known:
            self.known[key] = {"key": key} | self.made(*key)
            with self.file.open("a") as file:
                file.write(json.dumps(self.known[key]) + "\n")
            print(len(self.known), self.known[key], flush=True)
        found = self.known[key]
        said = {"pattern": pattern, "seed": seed, "updates": UPDATES * longer}
        return said | {"rate": rate} | {k: found[k] for k in ("valid", "test", "cpu_s")}

    def made(self, pattern: str, seed: int, longer: int, rate: float) -> dict:
        """Train one pattern from its start."""
        begun = time.process_time()
        model, _ = self.fitted(pattern, seed, longer, rate)
        spent = time.process_time() - begun
        losses = {
            part: round(evaluate(model, [batch], loss_fn=language_loss), 5)
            for part, batch in self.scored.items()
        }
        return losses | {"cpu_s": round(spent, 2)}

    def fitted(
        self, pattern: str, seed: int, longer: int = 1, rate: float = 1.0
    ) -> tuple[nn.Module, list[float]]:
        """A trained model, and the losses of its updates."""
        torch.manual_seed(seed)
        model = build_model(self.space.spec(pattern))
        options = {"lr": RATE * rate, "decay": "linear", "seed": seed}
        options |= {"steps": UPDATES * longer, "loss_fn": language_loss}
        return model, train(model, drawn, **options).losses

    def objectives(self, pattern: str) -> tuple[float, float]:
        """What a search of the first seed sees: loss and cache bytes."""
        loss = self.run(pattern, SEARCH_SEEDS[0])["valid"]
        return loss, self.space.price(pattern).cache_bytes


def best(search: Search) -> list[str]:
    """The patterns of the lowest losses, the best first."""
    return sorted(search.found, key=lambda pattern: search.found[pattern][0])[:TOP]


def measure() -> Mapping:
    """The searches first, then what their winners are worth, then the whole table."""
    torch.set_num_threads(1)
    space = stacks()
    trained = Trained(space)
    searches = {
        "random": random_search(space, trained.objectives, EVALUATIONS, seed=0),
        "NSGA-II": optuna_search(space, trained.objectives, EVALUATIONS, seed=0),
    }
    top = best(searches["NSGA-II"])
    fresh = [trained.run(p, seed) for p in top for seed in FRESH_SEEDS]
    rates = [trained.run(p, RATE_SEED, rate=rate) for p in top for rate in RATES]
    fitting = [pattern for pattern in space.all() if space.fits(pattern)]
    table = [trained.run(p, seed) for seed in SEARCH_SEEDS for p in fitting]
    ends = top[0], top[-1]
    longer = [trained.run(p, seed, longer=2) for p in ends for seed in LONGER_SEEDS]
    made = {"table": table, "fresh": fresh, "longer": longer, "rates": rates}
    _, losses = trained.fitted(top[0], SEARCH_SEEDS[0])
    seconds = (run["cpu_s"] for part in made.values() for run in part)
    return {
        "space": {"letters": LETTERS, "layers": LAYERS, "context": CONTEXT} | SIZES,
        "limits": LIMITS,
        "rows": {"half": HALF, "periods": PERIODS, "count": ROWS},
        "training": {"updates": UPDATES, "rate": RATE, "evaluations": EVALUATIONS},
        "first": [round(loss, 7) for loss in losses[:FIRST]],
        "baselines": {
            "chance": math.log(VOCAB),
            "seen before": seen_before(trained.scored["valid"]),
        },
        "prices": {p: vars(space.price(p)) for p in fitting},
        "searches": {name: list(each.found) for name, each in searches.items()},
        "top": top,
        "targets_per_update": round(float(drawn(torch.Generator()).mask.sum())),
        "cpu_s": sum(seconds),
        **made,
    }


experiment = Measurement(
    asks="How good is the stack that a search finds, once it is trained again?",
    measure=measure,
)
