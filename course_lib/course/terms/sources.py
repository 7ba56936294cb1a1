"""The course's pages, notebooks, labs and cards as text and uses, cut into places.

A page is cut at its labelled headings, a lab at its exercises; a notebook and a card
are one place each. What only repeats (symbols, problems, cards, claims, sources) is
left out of a page.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from course_lib.course.terms.uses import used_names

LEFT_OUT = re.compile(r".*-(cards|claims|problems|questions|outcomes)")
LEFT_OUT_TITLES = ("Symbols", "Sources", "The guide's questions, answered")
LISTING = re.compile(r"^`{3,}\{(?:pysource|literalinclude)\} (\S+) *(\S*)")


@dataclass(frozen=True)
class Place:
    """Where something is taught.

    Attributes:
        kind: "page", "notebook", "lab" or "card".
        page: the page of the site, "book/03_kv_cache".
        anchor: its place on that page; "" for the whole page. Of a lab's exercise it is
            the text of its heading, from which the site makes the anchor.
        title: the heading, or a card's question.
        number: for people, "3" or "3.2" or "3, exercise 2".
        text: what is said there.
        topics: the topics of the curriculum that name this place.
        listings: (file, name) of the code shown there.
        used: what its code uses, from `used_names`.
    """

    kind: str
    page: str
    anchor: str
    title: str
    number: str
    text: str = field(repr=False)
    topics: frozenset[str] = frozenset()
    listings: tuple[tuple[str, str], ...] = ()
    used: Counter = field(default_factory=Counter, repr=False)


def _number(name: str) -> str:
    """Return the number that a file's name begins with, "3" for "03_kv_cache"."""
    return str(int(re.match(r"\d+", name)[0]))


def topics_of(root: Path) -> dict[tuple[str, str, str], set[str]]:
    """Return (kind, page or notebook or lab, anchor or tag or exercise) -> topics."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for path in sorted((root / "book/topics").glob("*.yml")):
        for topic in yaml.safe_load(path.read_text(encoding="utf-8")):
            for item in topic["covered"]:
                for kind, part in (
                    ("page", "anchor"),
                    ("notebook", "tag"),
                    ("lab", "exercise"),
                ):
                    if kind in item:
                        key = (kind, item[kind], "" if part == "tag" else item[part])
                        found.setdefault(key, set()).add(topic["id"])
    return found


def pages(root: Path, topics: Mapping) -> Iterator[Place]:
    """Yield the labelled sections of the chapters' pages in the book, in order."""
    listed = _listed(root)
    for path in sorted((root / "book").glob("[0-9][0-9]_*.md")):
        page = f"book/{path.stem}"
        if listed and page not in listed:
            continue
        for anchor, title, text in _sections(path.read_text(encoding="utf-8")):
            if LEFT_OUT.fullmatch(anchor) or title in LEFT_OUT_TITLES:
                continue
            yield Place(
                "page",
                page,
                anchor,
                title,
                _number(path.stem),
                text,
                frozenset(topics.get(("page", page, anchor), ())),
                tuple(_listings(text, path.parent, root)),
            )


def _listed(root: Path) -> set[str]:
    """Return the files of the table of contents; none where there is no such table."""
    toc = root / "_toc.yml"
    return set(re.findall(r"file: (\S+)", toc.read_text())) if toc.exists() else set()


def _sections(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (label, heading, text) of each section; "" where a heading has no label.

    >>> list(_sections("(a)=\\n# One\\nx\\n## Two\\ny"))
    [('a', 'One', 'x'), ('', 'Two', 'y')]
    """
    label, heading, body, fence = "", "", [], ""
    for line in text.splitlines():
        if mark := re.match(r"`{3,}", line):
            fence = "" if fence and len(mark[0]) >= len(fence) else fence or mark[0]
        named = None if fence else re.fullmatch(r"\(([\w-]+)\)=", line)
        begins = None if fence else re.fullmatch(r"#{1,4} +(.+?) *", line)
        if (named or begins) and heading:
            yield label, heading, "\n".join(body)
            label, heading, body = "", "", []
        if named:
            label = named[1]
        elif begins:
            heading = begins[1]
        else:
            body.append(line)
    if heading:
        yield label, heading, "\n".join(body)


def _listings(text: str, folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yield (file from the root, name) of the code that a section shows."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not (found := LISTING.match(line)):
            continue
        file, name = found.groups()
        if name:
            yield file, name
            continue
        path = (folder / file).resolve().relative_to(root.resolve()).as_posix()
        for option in lines[number + 1 :]:
            if not option.startswith(":"):
                break
            if option.startswith(":pyobject:"):
                yield path, option.split()[1]
            elif option.startswith(":start-at:"):
                start = option.removeprefix(":start-at:").strip()
                yield path, re.sub(r"^(class|def) +|\W.*", "", start)


def _cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def _code(cells: list[dict]) -> str:
    """Return the code of cells, without the lines that are commands of IPython."""
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return re.sub(r"(?m)^[%!].*$", "", text)


def _prose(cells: list[dict]) -> str:
    return "\n\n".join(
        "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"
    )


def notebooks(root: Path, topics: Mapping) -> Iterator[Place]:
    """Yield the notebooks, in order."""
    for path in sorted((root / "notebooks").glob("*/*.ipynb")):
        name, cells = f"{path.parent.name}/{path.stem}", _cells(path)
        prose = _prose(cells)
        yield Place(
            "notebook",
            f"notebooks/{name}",
            "",
            re.search(r"(?m)^# +(.+?) *$", prose)[1],
            f"{_number(path.parent.name)}.{_number(path.stem)}",
            prose,
            frozenset(topics.get(("notebook", name, ""), ())),
            used=used_names(root, _code(cells)),
        )


def labs(root: Path, topics: Mapping) -> Iterator[Place]:
    """Yield the exercises of the labs: their text, their code and that of their
    checks.
    """
    for path in sorted((root / "labs/source").glob("*.ipynb")):
        cells = _cells(path)
        starts = [
            (at, found[1])
            for at, cell in enumerate(cells)
            if cell["cell_type"] == "markdown"
            and (found := re.match(r"## +(Exercise .+?|Stretch.*?) *\n", _source(cell)))
        ]
        setup = _code(cells[: starts[0][0]] if starts else [])
        ends = [at for at, _ in starts[1:]] + [len(cells)]
        for (at, heading), end in zip(starts, ends, strict=True):
            section = cells[at:end]
            ids = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in section]
            exercise = next((i for i in ids if i and i.startswith("exercise-")), "")
            used = used_names(root, f"{setup}\n{_code(section)}")
            used -= used_names(root, setup)
            checks = list(_checks(root, used))
            yield Place(
                "lab",
                f"labs/{path.stem}",
                heading,
                re.sub(r" *\([^()]*★[^()]*\)", "", heading),
                _number(path.stem),
                _prose(section),
                frozenset(topics.get(("lab", path.stem, exercise), ())),
                used=sum((used_names(root, code) for code in checks), used),
            )


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _checks(root: Path, used: Counter) -> Iterator[str]:
    """Yield the code of the lab's own modules that are used."""
    for module, name in used:
        path = root / f"{module}.{name}".replace(".", "/")
        if ".labs.lab" in f"{module}." and path.with_suffix(".py").is_file():
            yield path.with_suffix(".py").read_text(encoding="utf-8")


def cards(root: Path) -> Iterator[Place]:
    """Yield the cards, in order; the anchor is the deck's on its chapter's page."""
    for path in sorted((root / "book/cards").glob("*.yml")):
        page = root / "book" / f"{path.stem}.md"
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        deck = re.search(r"(?m)^\((\w+-cards)\)=$", text)
        for card in yaml.safe_load(path.read_text(encoding="utf-8")):
            right = [o["text"] for o in card.get("options", ()) if o.get("correct")]
            pairs = [text for pair in card.get("pairs", ()) for text in pair]
            said = [card["question"], card.get("answer", ""), *right, *pairs]
            yield Place(
                "card",
                f"book/{path.stem}",
                deck[1] if deck else "",
                card["question"],
                _number(path.stem),
                "\n".join([*map(str, said), *map(str, card.get("items", ()))]),
                frozenset(card["topics"]),
            )
