"""The recorded experiments as a page shows them: what each asks, what it cost, what it
found, under other seeds too, and which notebooks read it.

Nothing of it is typed: a result of `experiments/results` says all, and a notebook reads
it with `load_run("name")` or `recheck("name")`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.evaluate.paired_runs import compare_runs
from course_lib.evaluate.seed_sets import SeedSets, difference, sets_of
from course_lib.kit.runs import RESULTS, RecordedRun, load_run, other_seeds
from course_lib.train.recording import experiment_files

READS = r"""\b(?:load_run|recheck)\(\s*["']{}["']"""


@dataclass(frozen=True)
class Record:
    """One experiment with its results.

    Attributes:
        chapter: the folder of its file, "02_attention_math".
        run, others: with its own seeds, and with other sets of seeds.
        readers: notebooks that read it, as "02_attention_math/07_feed_forward".
    """

    chapter: str
    run: RecordedRun
    others: tuple[RecordedRun, ...]
    readers: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the experiment's file."""
        return self.run.name

    @property
    def trained(self) -> bool:
        """Whether models were trained; else a trained model was measured."""
        return "runs" in self.run.facts

    @property
    def sets(self) -> list[SeedSets]:
        """Its comparisons at the first budget; none of a measurement."""
        return sets_of(self.run, self.others) if self.trained else []

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its runs, other seeds included."""
        return sum(run.facts["cpu_s"] for run in (self.run, *self.others))

    @property
    def unit(self) -> str:
        """Of the differences, where they are losses of one task."""
        losses = self.trained and all(found.score is None for found in self.sets)
        return self.run.unit if losses else ""

    def verdict(self) -> str:
        """What other seeds gave, over all comparisons.

        >>> record = Record("00_a", RecordedRun("a", {}), (), ())
        >>> record.verdict()
        'measured, not trained'
        """
        if not self.trained:
            return "measured, not trained"
        if not self.others:
            return "not tried"
        sets = self.sets
        wrong = [f"{s.compared}: {s.verdict}" for s in sets if not s.held]
        return "; ".join(wrong) or ", ".join(sorted({each.verdict for each in sets}))

    def rows(self) -> list[list[str]]:
        """One row a comparison: at both budgets with its own seeds, at the first with
        the others. The header is `header`.
        """
        later, rows = self.run.budgets[1:], []
        for found in self.sets:
            own, *others = found.sets
            row = [found.compared, difference(own.interval)]
            for updates in later:
                again = compare_runs(
                    self.run, own.variant, None, updates, score=found.score
                )
                row.append(difference(again.interval))
            row += [difference(other.interval) for other in others]
            rows.append([*row, found.verdict])
        return rows

    def header(self) -> list[str]:
        """The header of `rows`."""
        first, *later = (f"{updates:,} updates" for updates in self.run.budgets)
        others = [f"{seeds_in_words(run)}, {first}" for run in self.others]
        return ["Difference", first, *later, *others, "Other seeds"]


def seeds_in_words(run: RecordedRun) -> str:
    """The seeds of a record, "seeds 100 to 104"."""
    seeds = sorted(run.losses(run.base))
    return f"seeds {seeds[0]} to {seeds[-1]}"


def read_records(root: str | Path, folder: Path = RESULTS) -> tuple[Record, ...]:
    """Return every experiment, chapter by chapter.

    Args:
        root: of the repository, whose notebooks are looked through.
        folder: where the results are.

    Raises:
        ValueError: an experiment has no results.
    """
    code = {
        path.relative_to(Path(root) / "notebooks").with_suffix("").as_posix(): code_of(
            path
        )
        for path in sorted(Path(root).glob("notebooks/[0-9]*/*.ipynb"))
    }
    records = []
    for file in experiment_files():
        reads = re.compile(READS.format(file.stem))
        readers = tuple(name for name, text in code.items() if reads.search(text))
        run, others = load_run(file.stem, folder), other_seeds(file.stem, folder)
        records.append(Record(file.parent.name, run, tuple(others), readers))
    return tuple(records)


def code_of(path: Path) -> str:
    """The code of a notebook."""
    cells: Sequence[dict] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
    )
