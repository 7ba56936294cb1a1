"""Terms of the field, read from the headers of the modules that implement them.

A module's docstring ends with a block, one term an entry. Names before the colon, the
one to file it under first; what it is, in a line; after the arrow the functions or
classes of this module. A longer entry goes on in lines indented further:

    Terms:
        GQA, grouped-query attention: g KV heads, each shared by h / g query heads
            -> attend
        causal mask: a query attends to itself and to what stands before it -> CAUSAL

A term has one home: no name stands in two headers. A term that the library does not
have yet stands in book/terms_to_come.yml, with the chapter that brings it.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from course_lib.kit.entries import field_problems, read_list

LIBRARY, TO_COME = "course_lib", "book/terms_to_come.yml"
COMING = {"names": list, "means": str, "chapter": str}
ENTRY = re.compile(r"(?P<names>[^:]+): (?P<means>.+?) -> (?P<targets>[^>]+)")
TARGET = re.compile(r"[A-Za-z_]\w*(\.\w+)?")


@dataclass(frozen=True)
class Term:
    """One term: its names, what it is, and its home.

    Attributes:
        names: the name it is filed under, then its synonyms and abbreviations.
        means: what it is, in a line.
        targets: functions, classes, methods or constants of the module.
        path: the module's file from the repository's root; of a term to come, the list
            it stands in.
        line: where the entry begins in that file; 0 in the list of terms to come.
        chapter: the chapter that brings a term to come; "" for one that is here.
    """

    names: tuple[str, ...]
    means: str
    targets: tuple[str, ...]
    path: str
    line: int = 0
    chapter: str = ""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def module(self) -> str:
        """The module as it is imported; "" for a term to come."""
        path = self.path.removesuffix(".py")
        return "" if self.chapter else path.replace("/", ".")

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


def slug(name: str) -> str:
    """Return a name as it stands in an anchor.

    >>> slug("top-p"), slug("T5 relative bias"), slug("Objective $J$")
    ('top-p', 't5-relative-bias', 'objective-j')
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def header_terms(text: str, path: str) -> tuple[Term, ...]:
    """Return the terms in the header of one module; none, if it has no block.

    Args:
        text: the module's source.
        path: its file, for the terms and for messages.
    Raises:
        ValueError: naming file and line, if the block does not end the docstring, if an
            entry is not `names: meaning -> targets`, or names what the module does not
            define.

    >>> text = "'Masks.\\n\\nTerms:\\n    causal mask: no later keys -> CAUSAL'"
    >>> text = text.replace("'", 3 * "'") + "\\nCAUSAL = 1"
    >>> [(term.name, term.targets, term.line) for term in header_terms(text, "m.py")]
    [('causal mask', ('CAUSAL',), 4)]
    """
    tree = ast.parse(text)
    if ast.get_docstring(tree) is None:
        return ()
    lines = text.splitlines()[tree.body[0].lineno - 1 : tree.body[0].end_lineno]
    opened = [number for number, line in enumerate(lines) if line == "Terms:"]
    if not opened:
        return ()
    first = tree.body[0].lineno
    if len(opened) > 1:
        raise ValueError(f"{path}:{first + opened[1]}: a second `Terms:` block")
    defined = set(_defined(tree))
    start = opened[0] + 1
    block = [re.sub("\"{3}$|'{3}$", "", line) for line in lines[start:]]
    while block and not block[-1].strip():
        block.pop()
    if not block:
        raise ValueError(f"{path}:{first + start - 1}: the `Terms:` block is empty")
    return tuple(
        _term(entry, path, number, defined)
        for number, entry in _entries(block, path, first + start)
    )


def _entries(block: list[str], path: str, first: int) -> Iterator[tuple[int, str]]:
    """Yield each entry as (line of the file, text), its lines joined."""
    number, entry = 0, ""
    for at, line in enumerate(block, start=first):
        indent = len(line) - len(line.lstrip())
        if indent != 4 and (indent < 8 or not entry):
            raise ValueError(
                f"{path}:{at}: {line!r}: allowed is an entry indented by 4 spaces, or "
                "its next line by 8 or more; the block ends the docstring"
            )
        if indent == 4:
            if entry:
                yield number, entry
            number, entry = at, line.strip()
        else:
            entry += f" {line.strip()}"
    yield number, entry


def _term(entry: str, path: str, line: int, defined: set[str]) -> Term:
    found = ENTRY.fullmatch(entry)
    if not found:
        raise ValueError(
            f"{path}:{line}: {entry!r}: allowed is `name, other name: what it is -> "
            "function, Class`"
        )
    names, targets = (
        tuple(part.strip() for part in found[key].split(","))
        for key in ("names", "targets")
    )
    if not all(slug(name) for name in names):
        raise ValueError(f"{path}:{line}: names={found['names']!r}: one is empty")
    for target in targets:
        if not TARGET.fullmatch(target) or target not in defined:
            raise ValueError(
                f"{path}:{line}: {names[0]}: the module defines no {target!r}"
            )
    return Term(names, found["means"].strip(), targets, path, line)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield what a module defines: functions, classes, `Class.method`, constants."""
    for node in tree.body:
        match node:
            case ast.FunctionDef():
                yield node.name
            case ast.ClassDef():
                yield node.name
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        yield f"{node.name}.{inner.name}"
            case ast.Assign():
                names = (part for part in node.targets if isinstance(part, ast.Name))
                yield from (name.id for name in names)
            case ast.AnnAssign(target=ast.Name() as name):
                yield name.id


def coming_terms(root: Path) -> tuple[Term, ...]:
    """Return the terms of book/terms_to_come.yml.

    Raises:
        ValueError: with every problem of the list, one a line.
    """
    path = Path(root) / TO_COME
    entries = read_list(path, TO_COME, "terms")
    problems = [
        f"{TO_COME}: entry {number}: {problem}"
        for number, entry in enumerate(entries, start=1)
        for problem in _coming_problems(entry)
    ]
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(
        Term(tuple(entry["names"]), entry["means"], (), TO_COME, 0, entry["chapter"])
        for entry in entries
    )


def _coming_problems(entry: object) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{entry!r}: allowed is a mapping with {', '.join(COMING)}"
        return
    yield from field_problems(entry, COMING, patterns={"chapter": r"\d\d_\w+"})


def read_terms(root: str | Path) -> tuple[Term, ...]:
    """Return all terms of the course, in alphabetical order.

    Raises:
        ValueError: from a header or the list; or if a name has two homes.
    """
    root = Path(root)
    found = []
    for path in sorted((root / LIBRARY).rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if not relative.startswith(f"{LIBRARY}/course/"):
            found += header_terms(path.read_text(encoding="utf-8"), relative)
    if (root / TO_COME).is_file():
        found += coming_terms(root)
    homes(found)
    return tuple(sorted(found, key=lambda term: slug(term.name)))


def homes(terms: Iterable[Term]) -> dict[str, Term]:
    """Return the term that each name, as a slug, leads to.

    Raises:
        ValueError: naming both places, if two terms have a name in common.
    """
    found: dict[str, Term] = {}
    for term in terms:
        for name in term.names:
            if other := found.get(slug(name)):
                raise ValueError(
                    f"{term.where}: {name!r} has a home already: {other.where}"
                )
            found[slug(name)] = term
    return found
