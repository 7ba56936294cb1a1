"""Recorded runs: what `make experiments` wrote, read back for a notebook or a page.

A run that takes longer than a notebook may is made once, by a file of `experiments/`,
and kept in `experiments/results/NAME.json`:

    tasks      name -> unit, baselines, target tokens an update and held out
    variants   name -> task, parameters, peak learning rate
    runs       one entry a variant, seed, budget and rate: loss, curves, CPU seconds
    kept       the weights of one seed, with the loss that they score
    machine, versions

A measurement of a trained model has `results` in place of tasks, variants and runs.

Terms:
    recorded run, experiment record: a training run made once, with its curves, budget
        and machine on file -> load_run
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"


@dataclass(frozen=True)
class RecordedRun:
    """One file of results.

    Attributes:
        name: of the experiment's file.
        facts: the file's content.
    """

    name: str
    facts: Mapping

    @property
    def variants(self) -> list[str]:
        """The names of the variants, the base first."""
        return list(self.facts["variants"])

    @property
    def base(self) -> str:
        """The variant that the others are compared with."""
        return self.facts["base"]

    @property
    def budgets(self) -> list[int]:
        """Numbers of updates that were trained for, rising."""
        return sorted(self.facts["updates"])

    @property
    def unit(self) -> str:
        """What the losses of the base are counted in, such as "nats per byte"."""
        return self._task(self.base)["unit"]

    def baselines(self, variant: str | None = None) -> dict[str, float]:
        """Losses of count tables and the like on the bytes that the variant (the base
        when None) is scored on.
        """
        return dict(self._task(variant or self.base)["baselines"])

    def parameters(self, variant: str) -> int:
        """How many parameters the variant has."""
        return self._variant(variant)["parameters"]

    def losses(
        self, variant: str, updates: int | None = None, *, rate: float = 1.0
    ) -> dict[int, float]:
        """Held-out loss of each seed.

        Args:
            variant: one of `variants`.
            updates: one of `budgets`; the largest when None.
            rate: times the variant's own peak learning rate: 1, or one that was tried.
        Raises:
            ValueError: there is no such run; the message names what there is.
        """
        return {run["seed"]: run["loss"] for run in self.runs(variant, updates, rate)}

    def scores(
        self, variant: str, score: str, updates: int | None = None
    ) -> dict[int, float]:
        """As `losses`, of another number that each run ended with."""
        runs = self.runs(variant, updates)
        if missing := [run["seed"] for run in runs if score not in run["scores"]]:
            raise ValueError(
                f"score={score!r}: seed {missing[0]} of {variant!r} has "
                f"{', '.join(runs[0]['scores']) or 'none'}"
            )
        return {run["seed"]: run["scores"][score] for run in runs}

    def curve(self, variant: str, updates: int | None = None) -> dict[int, float]:
        """Mean over the seeds of the held-out loss after so many updates."""
        runs = self.runs(variant, updates)
        return {
            int(at): sum(run["curve"][at] for run in runs) / len(runs)
            for at in runs[0]["curve"]
        }

    def cpu_seconds(self, variant: str, updates: int | None = None) -> float:
        """Mean CPU seconds of one run, its scoring left out."""
        runs = self.runs(variant, updates)
        return sum(run["cpu_s"] for run in runs) / len(runs)

    def tokens(self, updates: int | None = None) -> int:
        """Target tokens that a run of the base sees."""
        return self._task(self.base)["tokens_per_update"] * self._budget(updates)

    def budget(self, updates: int | None = None) -> str:
        """What stands beside each number of this record: updates, tokens, parameters,
        seeds and CPU seconds.
        """
        updates = self._budget(updates)
        sizes = {self.parameters(variant) for variant in self.variants}
        seeds = len(self.losses(self.base, updates))
        size = " to ".join(f"{n:,}" for n in sorted({min(sizes), max(sizes)}))
        return (
            f"{updates:,} updates, {self.tokens(updates):,} tokens, {size} parameters, "
            f"{seeds} seeds, {self.cpu_seconds(self.base, updates):.0f} CPU seconds "
            "per run"
        )

    def runs(
        self, variant: str, updates: int | None = None, rate: float = 1.0
    ) -> list[dict]:
        """The entries of one variant, in the order of their seeds; errors as for
        `losses`.
        """
        self._variant(variant)
        wanted = variant, self._budget(updates), rate
        found = [
            run
            for run in self.facts["runs"]
            if (run["variant"], run["updates"], run["rate"]) == wanted
        ]
        if not found:
            rates = {
                run["rate"] for run in self.facts["runs"] if run["variant"] == variant
            }
            raise ValueError(f"rate={rate}: allowed are {sorted(rates)}")
        return sorted(found, key=lambda run: run["seed"])

    def _variant(self, name: str) -> Mapping:
        if name not in self.facts["variants"]:
            raise ValueError(
                f"variant={name!r}: allowed are {', '.join(self.variants)}"
            )
        return self.facts["variants"][name]

    def _task(self, variant: str) -> Mapping:
        return self.facts["tasks"][self._variant(variant)["task"]]

    def _budget(self, updates: int | None) -> int:
        if updates is not None and updates not in self.budgets:
            raise ValueError(f"updates={updates}: allowed are {self.budgets}")
        return self.budgets[-1] if updates is None else updates


def load_run(name: str, folder: Path = RESULTS) -> RecordedRun:
    """Read the results of one experiment.

    Args:
        name: of its file in `experiments/`, without the ending.
        folder: where the results are.
    Raises:
        ValueError: there is none of that name.
    """
    file = folder / f"{name}.json"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.json")))
        raise ValueError(f"name={name!r}: allowed are {there or 'none yet'}")
    return RecordedRun(name, json.loads(file.read_text(encoding="utf-8")))


def other_seeds(name: str, folder: Path = RESULTS) -> list[RecordedRun]:
    """The same experiment under other seeds (`make experiments SEEDS=...`), if it was
    run.
    """
    files = sorted(folder.glob(f"{name}.seeds-*.json"))
    return [load_run(file.stem, folder) for file in files]
