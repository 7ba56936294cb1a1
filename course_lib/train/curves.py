"""Loss curves of training runs: one figure in the course's style, and the same in a
sentence.

    runs = {"causal": history_a, "masked": history_b}
    show(loss_figure(runs), alt=loss_summary(runs), name="losses")

Training losses are drawn as a trailing mean, since single batches scatter; validation
losses are dots where they were measured. Losses of unlike objectives may stand in one
figure, but not be compared: they are means over unlike targets.

Terms:
    loss curve, learning curve: loss against updates, training loss as a trailing mean
        -> loss_figure, trailing_mean
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from course_lib.kit.plotting import COLOURS, style
from course_lib.train.loop import History


def trailing_mean(values: Sequence[float], window: int) -> list[float]:
    """Return for each value the mean of the last `window` values up to it, of fewer at
    the start.

    Raises:
        ValueError: `window` is below 1.

    *Cost*: one pass, whatever the window.

    >>> trailing_mean([4.0, 2.0, 3.0, 1.0], window=2)
    [4.0, 3.0, 2.5, 2.0]
    """
    if window < 1:
        raise ValueError(f"window={window}: allowed are whole numbers from 1")
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means


def loss_figure(
    runs: Mapping[str, History], *, window: int = 20, unit: str = "nats a token"
) -> Figure:
    """Draw the training and validation losses of runs against the updates done.

    Args:
        runs: name -> history; at most seven, one colour and dash each.
        window: updates that a point of a training curve is a mean of.
        unit: of the loss, for the axis.

    Raises:
        ValueError: there is no run or there are more than seven, a run has no update,
        or `window` is below 1.
    """
    _check(runs)
    style()
    fig, ax = plt.subplots()
    for colour, (name, history) in zip(COLOURS, runs.items(), strict=False):
        updates = range(1, len(history.losses) + 1)
        ax.plot(
            updates, trailing_mean(history.losses, window), color=colour, label=name
        )
        if history.valid:
            ax.plot(
                *zip(*sorted(history.valid.items()), strict=True), "o", color=colour
            )
    measured = any(history.valid for history in runs.values())
    ax.set_xlabel("updates")
    ax.set_ylabel(f"loss, {unit}")
    ax.set_title("Training loss" + ("; dots: validation" if measured else ""))
    if len(runs) > 1:
        ax.legend()
    return fig


def loss_summary(
    runs: Mapping[str, History], *, window: int = 20, unit: str = "nats a token"
) -> str:
    """Say what `loss_figure` shows, as its alternative text: where each run starts and
    where it ends.

    Args and errors as for `loss_figure`.

    >>> said = loss_summary({"MLM": History([5.5, 3.0], {2: 3.1})}, window=1)
    >>> said.removeprefix("Loss in nats a token against updates. ")
    'MLM: from 5.50 to 3.00 in 2 updates, validation 3.10 at the end.'
    """
    _check(runs)
    parts = []
    for name, history in runs.items():
        means = trailing_mean(history.losses, window)
        part = f"{name}: from {means[0]:.2f} to {means[-1]:.2f} in {len(means)} updates"
        if history.valid:
            part += f", validation {history.valid[max(history.valid)]:.2f} at the end"
        parts.append(part)
    return f"Loss in {unit} against updates. {'; '.join(parts)}."


def _check(runs: Mapping[str, History]) -> None:
    if not 1 <= len(runs) <= len(COLOURS):
        raise ValueError(f"runs has {len(runs)} runs: allowed are 1 to {len(COLOURS)}")
    empty = [name for name, history in runs.items() if not history.losses]
    if empty:
        raise ValueError(
            f"runs has no update of {', '.join(empty)}: "
            "allowed are histories with losses"
        )
