"""How `course` speaks: answers on stdout, progress on stderr, numbers with units, JSON on request.

A command computes *facts*, a dictionary whose keys name their units. `--json` prints the facts as they are;
the tables are another view of the same facts, so the two cannot disagree.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# A pipe has no width to fit, and a name that is folded there cannot be searched for.
WIDTH = None if sys.stdout.isatty() else 240
# Markup stays off: a shape such as [b t h k] in a message is text.
OUT = Console(markup=False, highlight=False, emoji=False, width=WIDTH)
ERR = Console(markup=False, highlight=False, emoji=False, stderr=True)
JSON = Annotated[bool, typer.Option("--json", help="Print the answer as JSON; keys name their units.")]


def answer(facts: Mapping[str, Any], as_json: bool, show: Callable[[Mapping[str, Any]], None]) -> None:
    """Print `facts` as JSON, or show them as tables."""
    if as_json:
        OUT.file.write(json.dumps(facts, indent=2, allow_nan=False) + "\n")
    else:
        show(facts)


def say(line: str) -> None:
    """Print one line of prose, which a terminal wraps and a pipe does not."""
    OUT.print(line, soft_wrap=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; columns whose heading begins with `#` hold numbers and stand to the right."""
    if title:
        OUT.print(title, style="bold", soft_wrap=True)
    grid = Table()
    for heading in head:
        name, number = heading.removeprefix("#"), heading.startswith("#")
        grid.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        grid.add_row(*map(str, row))
    OUT.print(grid)


def progress() -> Progress:
    """A progress bar on stderr that leaves nothing behind, and is silent where stderr is no terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal)


class Refused(typer.BadParameter):
    """An input that cannot be used: a usage error with a message of its own, and exit code 2."""

    def format_message(self) -> str:
        return self.message


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a ValueError, which says what is allowed, into `Refused`: a user sees no traceback."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except ValueError as error:
            raise Refused(str(error)) from error

    return wrapped


def count_text(number: float) -> str:
    """A count with thousands separated.

    >>> count_text(131072)
    '131,072'
    """
    return f"{number:,.0f}"


def plural(number: float, noun: str) -> str:
    """A count and what it counts.

    >>> plural(1, "request"), plural(2000, "request")
    ('1 request', '2,000 requests')
    """
    return f"{count_text(number)} {noun}{'' if number == 1 else 's'}"


def bytes_text(number: float) -> str:
    """Bytes in the largest binary unit that leaves at least 1.

    >>> bytes_text(10 * 2**30), bytes_text(512), bytes_text(1536)
    ('10 GiB', '512 B', '1.5 KiB')
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    step = 0
    while step < len(units) - 1 and number >= 1024 ** (step + 1):
        step += 1
    return f"{short_text(number / 1024**step)} {units[step]}"


def seconds_text(seconds: float) -> str:
    """Seconds in s, ms or µs.

    >>> seconds_text(0.0123), seconds_text(90.0), seconds_text(4.5e-6)
    ('12.3 ms', '90 s', '4.5 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{short_text(seconds / size)} {unit}"
    return f"{short_text(seconds / 1e-6)} µs"


def billions_text(number: float) -> str:
    """A count of parameters as papers write it.

    >>> billions_text(8_030_261_248), billions_text(124_439_808)
    ('8.03 B', '124 M')
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{short_text(number / size)} {unit}"
    return count_text(number)


def short_text(number: float) -> str:
    """Three digits, and all digits of what is larger.

    >>> short_text(0.9), short_text(12.34), short_text(1234.5), short_text(0.00123)
    ('0.9', '12.3', '1,234', '0.00123')
    """
    if number >= 100:
        return count_text(number)
    if number < 1:
        return f"{number:.3g}"
    return f"{number:.{1 if number >= 10 else 2}f}".rstrip("0").rstrip(".")
