"""Re-check of a recorded run: its kept weights are scored again, and its first updates
made again, so that a record cannot drift away from the code.

Held-out bytes and batches come from the record, since another release of Python has
another standard library. Floats differ between processors: a loss by less than 1e-3 on
weights rounded to float16, ten updates by less than 1e-4.

Terms:
    re-check of a record: kept weights scored again, first updates repeated -> recheck
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from safetensors.torch import load_file
from torch import nn

from course_lib.kit.runs import RESULTS, load_run
from course_lib.train.experiment import FIRST
from course_lib.train.kept import unpacked, with_weights
from course_lib.train.loop import train
from course_lib.train.recording import load_experiment


@dataclass(frozen=True)
class Recheck:
    """What was found again.

    Attributes:
        model: the kept model.
        loss, recorded_loss: of the kept weights on the recorded held-out batches.
        first, recorded_first: training losses of the first ten updates.
    """

    model: nn.Module
    loss: float
    recorded_loss: float
    first: Sequence[float]
    recorded_first: Sequence[float]

    @property
    def gaps(self) -> tuple[float, float]:
        """The two largest differences: of the loss, and of the first updates."""
        steps = zip(self.first, self.recorded_first, strict=True)
        return abs(self.loss - self.recorded_loss), max(abs(a - b) for a, b in steps)

    @property
    def holds(self) -> bool:
        """Whether both lie within what processors differ by."""
        return self.gaps[0] < 1e-3 and self.gaps[1] < 1e-4


class _Enough(Exception):
    """Ten updates were made."""


def recheck(name: str, variant: str | None = None) -> Recheck:
    """Score the kept weights of a recorded experiment, and repeat its first updates.

    Args:
        name: of the experiment's file.
        variant: one whose weights are kept; the first of them when None.

    Raises:
        ValueError: no weights of that variant are kept.
    """
    run, experiment = load_run(name), load_experiment(name)
    kept = {entry["variant"]: entry for entry in run.facts["kept"]}
    variant = next(iter(kept)) if variant is None else variant
    if variant not in kept:
        raise ValueError(f"variant={variant!r}: allowed are {', '.join(kept)}")
    entry, stated = kept[variant], experiment.variant(variant)
    data = load_file(RESULTS / entry["data"])
    model = experiment.build(variant, entry["seed"])
    again, batches = [], iter(unpacked(data, "first"))

    def note(done: int, loss: float) -> None:
        again.append(loss)
        if done == FIRST:
            raise _Enough

    with suppress(_Enough):
        train(
            model,
            lambda _: next(batches),
            steps=entry["updates"],
            lr=stated.lr,
            decay="linear",
            seed=entry["seed"],
            loss_fn=stated.task.loss,
            progress=note,
        )
    model = with_weights(model, RESULTS / entry["weights"])
    loss = stated.task.score(model, unpacked(data, "held_out"))
    (record,) = (
        r for r in run.runs(variant, entry["updates"]) if r["seed"] == entry["seed"]
    )
    return Recheck(model, loss, entry["loss"], again, record["first"])
