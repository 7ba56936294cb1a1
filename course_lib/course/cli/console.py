"""How `course` speaks: answers on stdout, progress on stderr, numbers with units, JSON
on request.

A command computes *facts*, a dictionary whose keys name their units. `--json` prints
the facts as they are; the tables are another view of the same facts, so the two cannot
disagree.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

# A pipe has no width to fit, and a name that is folded there cannot be searched for.
WIDTH = None if sys.stdout.isatty() else 240
# Markup stays off: a shape such as [b t h k] in a message is text.
OUT = Console(markup=False, highlight=False, emoji=False, width=WIDTH)
ERR = Console(markup=False, highlight=False, emoji=False, stderr=True)
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended
JSON = Annotated[
    bool,
    typer.Option("--json", help="Print the answer as JSON; keys name their units."),
]


def answer(
    facts: Mapping[str, Any], as_json: bool, show: Callable[[Mapping[str, Any]], None]
) -> None:
    """Print `facts` as JSON, or show them as tables."""
    if as_json:
        OUT.file.write(json.dumps(facts, indent=2, allow_nan=False) + "\n")
    else:
        show(facts)


def say(line: str) -> None:
    """Print one line of prose, which a terminal wraps and a pipe does not."""
    OUT.print(line, soft_wrap=True)


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
) -> None:
    """Print a table; columns whose heading begins with `#` hold numbers and stand to
    the right.
    """
    if title:
        OUT.print(title, style="bold", soft_wrap=True)
    grid = Table()
    for heading in head:
        name, number = heading.removeprefix("#"), heading.startswith("#")
        grid.add_column(
            name, justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in rows:
        grid.add_row(*map(str, row))
    OUT.print(grid)


def progress() -> Progress:
    """A progress bar on stderr that leaves nothing behind, and is silent where stderr
    is no terminal.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal)


class Refused(typer.BadParameter):
    """An input that cannot be used: a usage error with a message of its own, and exit
    code 2.
    """

    def format_message(self) -> str:
        return self.message


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a ValueError, which says what is allowed, into `Refused`: a user sees no
    traceback.
    """

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except ValueError as error:
            raise Refused(str(error)) from error

    return wrapped
