"""Progress bar of a training run: updates done, loss, remaining time.

    with progress_bar(steps=500) as progress:
        train(model, batch, steps=500, lr=1e-3, progress=progress)

The loop itself shows nothing. What it is given here is a plain function of (updates
done, loss). A notebook
whose outputs are stored passes none: a bar's last picture tells the time that one
machine took.

Terms:
    progress bar: updates done, loss and remaining time of a run -> progress_bar
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, float], None]


@contextmanager
def progress_bar(
    steps: int, *, label: str = "training", console: Console | None = None
) -> Iterator[Report]:
    """Show a bar while the block runs, and give the function that moves it.

    Args:
        steps: updates in the whole run. A run that is resumed starts the bar where it
            left off.
        label: what stands before the bar.
        console: where it is drawn; standard error when None.

    Yields:
        a function of (updates done, loss), for `train(..., progress=...)`.

    Raises:
        ValueError: `steps` is below 1.

    >>> import io
    >>> picture = io.StringIO()
    >>> with progress_bar(4, console=Console(file=picture, width=70)) as progress:
    ...     progress(4, 2.5)
    >>> "4/4" in picture.getvalue(), "loss 2.500" in picture.getvalue()
    (True, True)
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: allowed is 1 or more")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as bar:
        task = bar.add_task(label, total=steps, loss="-")

        def report(done: int, loss: float) -> None:
            bar.update(task, completed=done, loss=f"{loss:.3f}")

        yield report
