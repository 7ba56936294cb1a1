"""`course`: the commands together.

exit code   meaning
0           done
1           the answer is no: a check failed, not one request fits, the machine is not
            as it should be
2           the input was refused, or something it names is missing; the message says
            what is allowed
130         a quiz or a chat was interrupted by Ctrl-C; every review given before it is
            kept
"""

from importlib import metadata
from typing import Annotated

import typer

from course_lib.course.cli import (
    cards,
    chat,
    doctor,
    draw,
    fit,
    kv,
    lab,
    moe,
    quiz,
    spec,
)
from course_lib.course.cli.console import plainly, say

EXIT_CODES = (
    "Exit codes: 0 done; 1 the answer is no (a check failed, not one request fits, the "
    "machine is not as it should be); 2 the input was refused; 130 a quiz or a "
    "chat was interrupted."
)

app = typer.Typer(
    name="course",
    no_args_is_help=True,
    help="Architecture, Measured, from the terminal: what a model is, what it costs, "
    "the labs and the cards.",
    epilog=EXIT_CODES,
    pretty_exceptions_show_locals=False,
)


def _version(asked: bool) -> None:
    if asked:
        say(f"course {metadata.version('course_lib')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


for name, command in (
    ("kv", kv.kv),
    ("spec", spec.spec),
    ("fit", fit.fit),
    ("draw", draw.draw),
    ("doctor", doctor.doctor),
    ("chat", chat.chat),
):
    app.command(name)(plainly(command))
app.add_typer(lab.app, name="lab")
app.add_typer(quiz.app, name="quiz")
app.add_typer(cards.app, name="cards")
app.add_typer(moe.app, name="moe")
