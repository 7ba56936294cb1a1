"""Experiments whose runs are recorded: variants, seeds, budgets, and the task that all
are scored on.

A file of `experiments/` states one `Experiment` (or one `Measurement` of a trained
model), under the name `experiment`:

    experiment = Experiment(
        asks="What does the feed-forward network add?",
        task=stdlib_task(),
        variants={"with FFN": STANDARD, "no FFN": without_ffn},
    )

`make experiments` runs every variant with every seed for every budget, and each once at
half and at double its learning rate (`train.recording`). Variants see the same batches
under the same seed. `run_one` is the whole of one run.

Terms:
    recorded experiment, paired seeds: variants of a model, trained on the
        same batches under the same seeds -> Experiment
    learning-rate check: each variant tried at half and at double its rate -> Trial
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, nn

from course_lib.models.build import build_model
from course_lib.specs.records import ModelSpec
from course_lib.train.batches import Batch, target_count
from course_lib.train.loop import AnyBatch, History, Loss, evaluate, next_token_loss
from course_lib.train.loop import train as train_model

Build = Callable[[], nn.Module]
FIRST = 10  # updates that a notebook repeats
MARKS = 4  # held-out losses on the way
POINTS = 20  # of the training curve


@dataclass(frozen=True)
class Task:
    """What models learn, and what they are scored on.

    Attributes:
        name: of the data and the objective.
        batch: draws one batch from the generator it is given.
        held_out: the batches that every variant is scored on.
        baselines: gives the losses of count tables, chance and the like on the very
            same targets; called once an experiment.
        bar: a baseline and how far below it a variant must get before a comparison
            counts, in the unit.
        loss: mean loss of one batch.
        unit: of the losses.
        scores: further numbers of a trained model, by name; None for none.
    """

    name: str
    batch: Callable[[Generator], AnyBatch]
    held_out: Sequence[AnyBatch]
    baselines: Callable[[], Mapping[str, float]]
    bar: tuple[str, float]
    loss: Loss = next_token_loss
    unit: str = "nats per byte"
    scores: Callable[[nn.Module], Mapping[str, float]] | None = None

    def score(self, model: nn.Module, held_out: Sequence[AnyBatch] = ()) -> float:
        """Mean loss over all held-out targets, or over those of other batches."""
        return evaluate(model, held_out or self.held_out, loss_fn=self.loss)

    def on(self, device: torch.device | str) -> "Task":
        """The same task with every batch on `device`."""
        return replace(
            self,
            batch=lambda generator: _moved(self.batch(generator), device),
            held_out=[_moved(batch, device) for batch in self.held_out],
        )

    def tokens_per_update(self) -> int:
        """Targets of one batch, as the first seed draws it."""
        return target_count(self.batch(Generator().manual_seed(0)))


@dataclass(frozen=True)
class Variant:
    """A model of an experiment, where it differs from the others in more than its
    parts: in its task or its learning rate. None takes the experiment's.
    """

    build: ModelSpec | Build
    task: Task | None = None
    lr: float | None = None


@dataclass(frozen=True)
class Trial:
    """One run: a variant, a seed, a number of updates, and how many times its own
    learning rate it is trained at.
    """

    variant: str
    seed: int
    updates: int
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Variants of a model, trained alike.

    Attributes:
        asks: the question, in a sentence.
        task: what all learn that name no other.
        variants: name -> a spec, a function that builds a model, or a `Variant`. The
            first is the base that the others are compared with.
        seeds: at least 5; each draws the start and the batches.
        updates: the budgets, rising; the second as a rule twice the first.
        lr: peak learning rate; a tenth of the updates rises to it, then a line falls to
            zero.
        rates: shares of it that the first seed tries for the first budget.
        keep: variants whose weights are kept, of the first seed and the largest budget;
            the base when empty.

    Raises:
        ValueError: fewer than 2 variants, or a kept name that is none of them.
    """

    asks: str
    task: Task
    variants: Mapping[str, ModelSpec | Build | Variant]
    seeds: Sequence[int] = range(8)
    updates: tuple[int, ...] = (700, 1400)
    lr: float = 4e-3
    rates: tuple[float, ...] = (0.5, 2.0)
    keep: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.variants) < 2:
            raise ValueError(f"variants={list(self.variants)}: allowed are 2 or more")
        if unknown := [name for name in self.keep if name not in self.variants]:
            raise ValueError(f"keep={unknown}: allowed are {list(self.variants)}")

    @property
    def base(self) -> str:
        """The first variant."""
        return next(iter(self.variants))

    @property
    def kept(self) -> tuple[str, ...]:
        """The variants whose weights are kept."""
        return self.keep or (self.base,)

    def variant(self, name: str) -> Variant:
        """One variant with its task and its rate filled in."""
        given = self.variants[name]
        given = given if isinstance(given, Variant) else Variant(given)
        return Variant(given.build, given.task or self.task, given.lr or self.lr)

    def build(self, name: str, seed: int) -> nn.Module:
        """A fresh model of the variant, its start drawn from the seed."""
        torch.manual_seed(seed)
        build = self.variant(name).build
        return build_model(build) if isinstance(build, ModelSpec) else build()

    def trials(self, seeds: Sequence[int] | None = None) -> Iterator[Trial]:
        """Every run to make, seed by seed, so that what is there when it is interrupted
        is paired.

        Args:
            seeds: other seeds; then only the first budget is run, at its own rate.
        """
        for updates in self.updates if seeds is None else self.updates[:1]:
            for seed in self.seeds if seeds is None else seeds:
                for name in self.variants:
                    yield Trial(name, seed, updates)
        for rate in self.rates if seeds is None else ():
            for name in self.variants:
                yield Trial(name, self.seeds[0], self.updates[0], rate)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Something measured once on models that are trained already, longer than a
    notebook may take.

    Attributes:
        asks: the question, in a sentence.
        measure: does it, and returns numbers, lists and tables that JSON can hold; what
            is compared per item stays per item, so that intervals can be paired.
    """

    asks: str
    measure: Callable[[], Mapping]


@dataclass
class Finished:
    """A run that has ended: its model, and what is recorded of it."""

    model: nn.Module
    record: dict


def run_one(
    experiment: Experiment, trial: Trial, device: torch.device | str = "cpu"
) -> Finished:
    """Train one variant from its start to its budget, and score it.

    Returns:
        the trained model, and a record of its held-out loss ("loss"), the losses on the
        way ("curve": held out, "train": means of the training loss), the first ten
        training losses ("first"), the task's scores, and CPU seconds without scoring.
    """
    variant = experiment.variant(trial.variant)
    task, scoring = variant.task.on(device), 0.0

    def score(model: nn.Module) -> float:
        nonlocal scoring
        begun = time.process_time()
        loss = task.score(model)
        scoring += time.process_time() - begun
        return loss

    model = experiment.build(trial.variant, trial.seed).to(device)
    begun = time.process_time()
    history = train_model(
        model,
        task.batch,
        steps=trial.updates,
        lr=variant.lr * trial.rate,
        decay="linear",
        seed=trial.seed,
        loss_fn=task.loss,
        valid_fn=score,
        valid_every=max(1, trial.updates // MARKS),
    )
    spent = time.process_time() - begun - scoring
    return Finished(model.eval(), _record(trial, task, history, model, spent))


def _moved(batch: AnyBatch, device: torch.device | str) -> AnyBatch:
    if isinstance(batch, Batch):
        return batch.to(device)
    inputs, targets = batch
    return inputs.to(device), targets.to(device)


def _record(
    trial: Trial, task: Task, history: History, model: nn.Module, spent: float
) -> dict:
    further = task.scores(model) if task.scores else {}
    return {
        "variant": trial.variant,
        "seed": trial.seed,
        "updates": trial.updates,
        "rate": trial.rate,
        "loss": round(history.valid[trial.updates], 6),
        "curve": {str(at): round(loss, 6) for at, loss in history.valid.items()},
        "train": _means(history.losses),
        "first": [round(loss, 7) for loss in history.losses[:FIRST]],
        "scores": {name: round(float(value), 6) for name, value in further.items()},
        "cpu_s": round(spent, 1),
    }


def _means(losses: Sequence[float]) -> dict[str, float]:
    """Training loss: updates done -> mean over the updates since the point before."""
    step = max(1, len(losses) // POINTS)
    parts = {
        end: losses[end - step : end] for end in range(step, len(losses) + 1, step)
    }
    return {str(end): round(sum(part) / step, 5) for end, part in parts.items()}
