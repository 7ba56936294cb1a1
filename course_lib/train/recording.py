"""Recording: the runs of an experiment, kept one by one, and the file of results made
of them.

    experiments/NN_chapter/NAME.py    states the experiment
    _build/experiments/KEY.json       one finished run; KEY says all that decides it, so
                                      that a base shared by two experiments is trained
                                      once, and a changed variant is trained again
    experiments/results/NAME.json     every run, with tasks, machine and versions
    experiments/results/NAME.VARIANT.safetensors    kept weights, in float16
    experiments/results/data/HASH.safetensors       held-out and first batches of those

Under the gpu profile results go to `experiments/results/gpu/`, and the smoke profile
leaves its own under `_build`.

Terms:
    resumable runs: what was finished is not run again -> finish
    record file: the runs of an experiment with tasks, machine, versions -> assemble
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file

from course_lib.kit.runs import RESULTS, ROOT
from course_lib.kit.runtime import profile
from course_lib.specs.records import ModelSpec
from course_lib.train.batches import Batch
from course_lib.train.experiment import (
    FIRST,
    Experiment,
    Measurement,
    Task,
    Trial,
    run_one,
)
from course_lib.train.kept import digest, halved, packed, slug, with_weights
from course_lib.train.loop import AnyBatch
from course_lib.train.spec_words import said

ENGINE = 1  # raise it when the same statement would train to other numbers
EXPERIMENTS = ROOT / "experiments"
VARIABLE = "COURSE_RUNS"  # where single runs are kept
PACKAGES = ("torch", "numpy", "transformers")


def results_folder() -> Path:
    """Where the results of the profile in force belong."""
    chosen = profile()
    if chosen == "smoke":
        return ROOT / "_build" / "experiments" / "smoke"
    return RESULTS / "gpu" if chosen == "gpu" else RESULTS


def runs_folder() -> Path:
    """Where single finished runs are kept: `COURSE_RUNS`, or a folder of `_build`."""
    return Path(os.environ.get(VARIABLE) or ROOT / "_build" / "experiments")


def experiment_files(only: str = "") -> list[Path]:
    """The files of `experiments/`, in order; `only` is a chapter's folder or a name.

    Raises:
        ValueError: nothing is called that.
    """
    files = sorted(EXPERIMENTS.glob("[0-9]*/*.py"))
    found = [file for file in files if only in ("", file.stem, file.parent.name)]
    if only and not found:
        names = ", ".join(file.stem for file in files)
        raise ValueError(f"only={only!r}: allowed are a chapter's folder, or {names}")
    return found


@cache
def load_experiment(name: str) -> Experiment | Measurement:
    """What the file `experiments/NN_chapter/NAME.py` states.

    Raises:
        ValueError: there is no such file, or it states nothing.
    """
    (file,) = experiment_files(name)
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stated = getattr(module, "experiment", None)
    if not isinstance(stated, Experiment | Measurement):
        raise ValueError(
            f"{file.name} has no `experiment`: allowed is an Experiment or a "
            "Measurement"
        )
    return stated


def key_of(name: str, experiment: Experiment, trial: Trial) -> str:
    """A name for all that decides a run: data, model and its start, rate and budget."""
    variant = experiment.variant(trial.variant)
    start = experiment.build(trial.variant, trial.seed).state_dict()
    parts = [
        str(ENGINE),
        profile(),
        _model_in_words(name, experiment, trial.variant),
        digest(start),
        digest(packed(_first_batches(variant.task, trial.seed), "first")),
        digest(packed(variant.task.held_out, "held_out")),
        f"{variant.task.loss.__qualname__} {_qualname(variant.task.scores)}",
        f"{trial.updates} {trial.seed} {variant.lr * trial.rate!r}",
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def finish(name: str, trial: Trial) -> dict:
    """The record of one run: read if it was made before, else made now and kept.

    One thread, so that its CPU seconds can be compared and two runs share two cores.
    """
    torch.set_num_threads(1)
    experiment = load_experiment(name)
    file = runs_folder() / f"{key_of(name, experiment, trial)}.json"
    weights = file.with_suffix(".safetensors")
    kept = trial in kept_trials(experiment)
    if not file.is_file() or (kept and not weights.is_file()):
        on_gpu = profile() == "gpu"
        finished = run_one(experiment, trial, "cuda" if on_gpu else "cpu")
        file.parent.mkdir(parents=True, exist_ok=True)
        if kept:
            save_file(halved(finished.model), weights)
        beside = file.with_suffix(f".{os.getpid()}.part")
        beside.write_text(json.dumps(finished.record))
        beside.replace(file)
    # another experiment may give the same model another name
    return json.loads(file.read_text()) | {"variant": trial.variant, "rate": trial.rate}


def kept_trials(experiment: Experiment) -> list[Trial]:
    """The runs whose weights are kept: the first seed at the largest budget."""
    seed, updates = experiment.seeds[0], experiment.updates[-1]
    return [Trial(name, seed, updates) for name in experiment.kept]


def assemble(name: str, records: Sequence[Mapping]) -> dict:
    """Everything `experiments/results/NAME.json` holds, from the records of all runs.

    The keys are explained in `course_lib.kit.runs`.
    """
    experiment = load_experiment(name)
    tasks = {experiment.variant(v).task.name: v for v in experiment.variants}
    return {
        "experiment": name,
        "asks": experiment.asks,
        "base": experiment.base,
        "updates": list(experiment.updates),
        "declared": declared(name, experiment),
        "tasks": {
            task: _task_facts(experiment.variant(v).task) for task, v in tasks.items()
        },
        "variants": {v: _variant_facts(experiment, v) for v in experiment.variants},
        "machine": machine_facts(),
        "cpu_s": round(sum(record["cpu_s"] for record in records), 1),
        "runs": sorted(
            records, key=lambda r: (r["updates"], r["rate"], r["variant"], r["seed"])
        ),
    }


def declared(name: str, experiment: Experiment) -> dict:
    """What the experiment's file states, for a test that the results are of it. Of each
    variant's model a digest is kept: two of the same size need not be the same.
    """
    models = {v: _model_in_words(name, experiment, v) for v in experiment.variants}
    return {
        "seeds": list(experiment.seeds),
        "updates": list(experiment.updates),
        "rates": list(experiment.rates),
        "variants": {
            v: _variant_facts(experiment, v)
            | {"model": hashlib.sha256(words.encode()).hexdigest()[:16]}
            for v, words in models.items()
        },
    }


def measure(name: str) -> dict:
    """Make a `Measurement`, and return what its file of results holds.

    One that keeps finished runs, and so may go on where it stopped, says its own CPU
    seconds among its results, as "cpu_s".
    """
    stated = load_experiment(name)
    begun = time.process_time()
    results = dict(stated.measure())
    spent = round(results.pop("cpu_s", time.process_time() - begun), 1)
    facts = {"experiment": name, "asks": stated.asks, "machine": machine_facts()}
    return facts | {"cpu_s": spent, "results": results}


def keep(name: str, folder: Path) -> list[dict]:
    """Copy the kept weights and their data beside the results; what to record of each.

    The loss is scored with the weights as they are kept, rounded to float16.
    """
    experiment, found = load_experiment(name), []
    for trial in kept_trials(experiment):
        task = experiment.variant(trial.variant).task
        source = runs_folder() / f"{key_of(name, experiment, trial)}.safetensors"
        target = folder / f"{name}.{slug(trial.variant)}.safetensors"
        target.write_bytes(source.read_bytes())
        data = packed(task.held_out, "held_out")
        data |= packed(_first_batches(task, trial.seed), "first")
        file = folder / "data" / f"{digest(data)[:16]}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(data, file)
        model = with_weights(experiment.build(trial.variant, trial.seed), target)
        found.append(
            {
                "variant": trial.variant,
                "seed": trial.seed,
                "updates": trial.updates,
                "weights": target.name,
                "data": f"data/{file.name}",
                "loss": round(task.score(model), 6),
            }
        )
    return found


def machine_facts() -> dict:
    """What a reader needs to know of the machine, and versions."""
    on_gpu = profile() == "gpu"
    facts = {
        "processor": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    return facts | {name: importlib.metadata.version(name) for name in PACKAGES}


def _task_facts(task: Task) -> dict:
    return {
        "unit": task.unit,
        "baselines": {k: round(v, 6) for k, v in task.baselines().items()},
        "bar": list(task.bar),
        "tokens_per_update": task.tokens_per_update(),
        "held_out_targets": sum(
            int(b.mask.sum()) if isinstance(b, Batch) else b[1].numel()
            for b in task.held_out
        ),
    }


def _variant_facts(experiment: Experiment, name: str) -> dict:
    variant = experiment.variant(name)
    model = experiment.build(name, experiment.seeds[0])
    size = sum(p.numel() for p in model.parameters())
    return {"task": variant.task.name, "parameters": size, "lr": variant.lr}


def _model_in_words(name: str, experiment: Experiment, variant: str) -> str:
    """All that decides a variant's model but its start: its spec, or, of what a
    function builds, the text of the experiment's file.
    """
    build = experiment.variant(variant).build
    if isinstance(build, ModelSpec):
        return said(build)
    return name + variant + experiment_files(name)[0].read_text()


def _first_batches(task: Task, seed: int) -> list[AnyBatch]:
    generator = torch.Generator().manual_seed(seed)
    return [task.batch(generator) for _ in range(FIRST)]


def _qualname(function: object) -> str:
    return getattr(function, "__qualname__", "none")
