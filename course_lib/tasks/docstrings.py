"""Docstring corpus: real documentation that is already on the machine, from Python's
standard library.

A docstring opens with a summary, mostly one imperative sentence ("Read the
configuration from a file."), and goes on with details. The summary says what someone
may look for; the details are what answers them.

The source is parsed, never run. Another Python release has other docstrings, and
results move by a little.

Terms:
    docstring corpus: summaries and details of the standard library's docstrings ->
        stdlib_docstrings
"""

import ast
import inspect
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from course_lib.tasks.corpora import source_files


@dataclass(frozen=True, order=True)
class Docstring:
    """One docstring, its white space collapsed.

    Attributes:
        module: where it stands, such as `json.decoder`.
        name: what it documents, such as `JSONDecoder.raw_decode`.
        summary: its first paragraph.
        details: the other paragraphs, or the empty string.
    """

    module: str
    name: str
    summary: str
    details: str


@lru_cache(maxsize=1)
def stdlib_docstrings() -> tuple[Docstring, ...]:
    """Return the docstring of every class and function of the standard library, ordered
    by module and name.

    Some come more than once, as where a method is overridden with the same words.

    *Cost*: seconds on the first call, which parses some 400 files; then nothing.

    >>> found = {(d.module, d.name): d for d in stdlib_docstrings()}
    >>> found["bisect", "insort_right"].summary
    'Insert item x in list a, and keep it sorted assuming a is sorted.'
    """
    root = Path(sysconfig.get_path("stdlib"))
    return tuple(
        sorted(
            d for file in source_files(root) for d in read(file, _module(file, root))
        )
    )


def read(file: Path, module: str) -> Iterator[Docstring]:
    """Yield the docstrings of the classes and functions in a Python file, nested ones
    too.

    Raises:
        SyntaxError: the file is not Python.
    """
    with tokenize.open(file) as source:
        yield from _walk(ast.parse(source.read()), module, "")


def _walk(node: ast.AST, module: str, owner: str) -> Iterator[Docstring]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(child, clean=False)
            if text and text.strip():
                summary, _, details = inspect.cleandoc(text).partition("\n\n")
                yield Docstring(
                    module, owner + child.name, _collapsed(summary), _collapsed(details)
                )
            yield from _walk(child, module, f"{owner}{child.name}.")
        else:
            yield from _walk(child, module, owner)


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _collapsed(text: str) -> str:
    return " ".join(text.split())
