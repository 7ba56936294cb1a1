"""Make the recorded runs of `experiments/`, and write their results.

    python tools/run_experiments.py                         every experiment
    python tools/run_experiments.py --only feed_forward     one, or a chapter's folder
    python tools/run_experiments.py --seeds 100-104         other seeds, first budget

What was finished before is read, not run again, so an interrupted run goes on where it
stopped. Each run has one thread; `--workers` of them run side by side.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from course_lib.train.experiment import Measurement, Trial
from course_lib.train.recording import (
    assemble,
    declared,
    experiment_files,
    finish,
    keep,
    load_experiment,
    measure,
    results_folder,
)


def seeds_of(text: str) -> list[int]:
    """Seeds as a person writes them.

    >>> seeds_of("7,100-102")
    [7, 100, 101, 102]
    """
    found = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def finished(name: str, trials: Sequence[Trial], workers: int) -> Iterator[dict]:
    """The records of the trials, as they end."""
    if workers == 1:
        yield from (finish(name, trial) for trial in trials)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        jobs = [pool.submit(finish, name, trial) for trial in trials]
        yield from (job.result() for job in as_completed(jobs))


def run(name: str, seeds: list[int] | None, workers: int, console: Console) -> None:
    """Make one experiment's runs and write its results."""
    stated, folder = load_experiment(name), results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(stated, Measurement):
        write(folder / f"{name}.json", measure(name))
        return
    trials, records = list(stated.trials(seeds)), []
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(name, total=len(trials))
        for record in finished(name, trials, workers):
            records.append(record)
            bar.advance(task)
    facts = assemble(name, records)
    if seeds is None:
        facts["kept"] = keep(name, folder)
        write(folder / f"{name}.json", facts)
        return
    facts |= {"updates": list(stated.updates[:1]), "seeds": seeds}
    facts["declared"] = declared(name, stated)
    write(folder / f"{name}.seeds-{seeds[0]}-{seeds[-1]}.json", facts)


def write(file: Path, facts: dict) -> None:
    """Write the results, one run a line."""
    runs = facts.pop("runs", None)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    if runs is not None:
        lines = ",\n  ".join(json.dumps(record) for record in runs)
        text = text[:-2] + f',\n "runs": [\n  {lines}\n ]\n}}'
    file.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Read the options, and run what they name."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", default="", help="a name, or a chapter's folder")
    options.add_argument("--seeds", type=seeds_of, help="other seeds, as 100-104")
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    console = Console(stderr=True)
    for file in experiment_files(given.only):
        run(file.stem, given.seeds, given.workers, console)


if __name__ == "__main__":
    main()
