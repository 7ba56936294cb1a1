"""What a class's submissions came to: a table, a page for the instructor, a page for
each student.

The table is CSV, for a spreadsheet or a learning management system. The instructor's
page shows who, what, and where most points were lost; a student's page shows points and
reasons of that student alone. Pages are single files without scripts.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path, PurePosixPath

LONGEST_NAME = 200  # bytes; file systems allow 255
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
         border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass
class Mark:
    """One row of the table: points and the reason for each exercise, by its name."""

    submission: str
    lab: str
    status: str = "graded"
    points: dict[str, float] = field(default_factory=dict)
    maximum: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """Points over all exercises."""
        return sum(self.points.values())

    @property
    def most(self) -> float:
        """Points that there are."""
        return sum(self.maximum.values())


def write_table(marks: Sequence[Mark], out: Path) -> None:
    """Write the marks as CSV, sorted by submission; columns are the exercises of all
    labs met.
    """
    exercises = sorted({exercise for mark in marks for exercise in mark.maximum})
    columns = ["submission", "lab", "status", "total", "max"]
    columns += [*exercises, "seconds", "reasons"]
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for mark in sorted(marks, key=lambda mark: mark.submission):
            row = [mark.submission, mark.lab, mark.status]
            row += [f"{mark.total:g}", f"{mark.most:g}"]
            row += [
                f"{mark.points[name]:g}" if name in mark.points else ""
                for name in exercises
            ]
            row += [f"{mark.seconds:.1f}", _reasons(mark)]
            table.writerow([plain_text(value) for value in row])


def plain_text(value: str) -> str:
    """Keep a spreadsheet from reading a student's text as a formula."""
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _reasons(mark: Mark) -> str:
    return "; ".join(f"{name}: {text}" for name, text in sorted(mark.reasons.items()))


def write_page(marks: Sequence[Mark], out: Path) -> None:
    """Write the instructor's page."""
    statuses = Counter(mark.status for mark in marks)
    counted = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    ran = [mark for mark in marks if mark.most]
    mean = sum(mark.total / mark.most for mark in ran) / len(ran) if ran else 0.0
    said = f"{len(marks)} files: {counted or 'none yet'}."
    said += f" Those that ran have {mean:.0%} of their points on average." * bool(ran)
    body = [f"<p>{escape(said)}</p>"]
    for lab in sorted({mark.lab for mark in ran}):
        body.append(_lost(lab, [mark for mark in ran if mark.lab == lab]))
    rows = [
        [mark.submission, mark.lab, mark.status, mark.total, mark.most, _reasons(mark)]
        for mark in sorted(marks, key=lambda mark: mark.submission)
    ]
    head = ["submission", "lab", "status", "points", "of", "reasons"]
    body.append(_table("All submissions", head, rows))
    out.write_text(_page("Grades", body), encoding="utf-8", errors="replace")


def _lost(lab: str, marks: Sequence[Mark]) -> str:
    """The exercises of one lab, those first that cost most, each with what was said
    most often.
    """
    rows = []
    for exercise in {name: 0 for mark in marks for name in mark.maximum}:
        worth = sum(mark.maximum.get(exercise, 0.0) for mark in marks)
        if not worth:
            continue
        got = sum(mark.points.get(exercise, 0.0) for mark in marks)
        causes = Counter(
            cause for mark in marks for cause in causes_of(mark.reasons.get(exercise))
        )
        said = sorted(causes.items(), key=lambda one: (-one[1], one[0][:4] != "hint"))
        often = "; ".join(f"{cause} ({n})" for cause, n in said[:3])
        full = sum(mark.points[exercise] == mark.maximum[exercise] for mark in marks)
        rows.append([exercise, f"{got / worth:.0%}", f"{full} of {len(marks)}", often])
    rows.sort(key=lambda row: float(row[1].rstrip("%")))
    head = ["exercise", "points", "in full", "said most often"]
    return _table(f"{lab}: where most points were lost", head, rows)


def causes_of(reason: str | None) -> list[str]:
    """The causes in a reason: its hints, or its first words where it has none.

    >>> causes_of("Exercise 1: y | hint (scale): Divide."), causes_of(None)
    (['hint scale'], [])
    """
    if not reason:
        return []
    hints = re.findall(r"hint \((\w+)\)", reason)
    return [f"hint {hint}" for hint in dict.fromkeys(hints)] or [reason[:60]]


def write_feedback(mark: Mark, folder: Path) -> Path:
    """Write the page of one submission below `folder`, where its name says, and return
    its path.
    """
    path = folder / _page_of(mark.submission)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [name, mark.points.get(name, 0.0), most, mark.reasons.get(name, "")]
        for name, most in mark.maximum.items()
        if most or name in mark.reasons
    ]
    rest = [f"{mark.status}: {text}" for name, text in mark.reasons.items()
            if name not in mark.maximum]  # fmt: skip
    body = [f"<p>{escape(text)}</p>" for text in rest]
    said = f"{mark.total:g} of {mark.most:g} points."
    body += [f"<p>{said}</p>"] if mark.most else []
    body.append(_table(mark.lab or "not graded", ["", "points", "of", "reason"], rows))
    page = _page(mark.submission, body)
    path.write_text(page, encoding="utf-8", errors="replace")
    return path


def _page_of(submission: str) -> Path:
    """Where the page of a submission lies below its folder: no name leads out, is
    too long, or names a page and a folder at once.

    >>> _page_of("ada/lab.ipynb").as_posix(), _page_of("../lab.ipynb").parent.name
    ('ada/lab.ipynb.html', 'up')
    """
    parts = [part.replace(":", "_") for part in PurePosixPath(submission).parts]
    parts = ["up" if part == ".." else part for part in parts if part != "/"]
    for at, part in enumerate(parts or ["nameless"]):
        is_page = at >= len(parts) - 1
        if len(part.encode(errors="replace")) > LONGEST_NAME:
            told = hashlib.sha256(part.encode(errors="replace")).hexdigest()[:16]
            part = f"{part[:30]}-{told}"
        elif part.lower().endswith(".html") and not is_page:
            part += "_"
        parts[at : at + 1] = [part + ".html" * is_page]
    return Path(*parts)


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence]) -> str:
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = [f"<caption>{escape(caption)}</caption><tr>{cells}</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _cell(value: str | float) -> str:
    if isinstance(value, int | float):
        return f'<td class="number">{value:g}</td>'
    return f"<td>{escape(value)}</td>"


def _page(title: str, body: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1>{''.join(body)}</html>\n"
    )
