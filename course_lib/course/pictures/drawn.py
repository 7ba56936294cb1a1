"""Finding a diagram by its name: the modules of `course_lib.course.pictures`.

Terms:
    diagram directive: a figure drawn when the book is built -> drawing, names
"""

import importlib
from pathlib import Path

from course_lib.kit.diagrams.figure import Figure

HERE = Path(__file__)


def names() -> list[str]:
    """All diagrams, by name."""
    modules = sorted(HERE.parent.glob("[a-z]*.py"))
    return [module.stem for module in modules if module != HERE]


def drawing(name: str) -> Figure:
    """One diagram.

    Raises:
        ValueError: nothing is drawn under that name.
    """
    if name not in names():
        raise ValueError(f"name={name!r}: allowed are {', '.join(names())}")
    return importlib.import_module(f"{__package__}.{name}").draw()
