"""Tables: rows as an accessible HTML table, the same in a notebook and on a page that
shows it by name.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from course_lib.kit.output_names import check_name, named


@dataclass(frozen=True)
class Table:
    """A table as a notebook stores it; Jupyter shows `_repr_html_`."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    name: str | None

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col">{html.escape(cell)}</th>' for cell in self.head
        )
        body = "".join(f"<tr>{_row(row)}</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.caption)}</caption>"
        return (
            f'<table class="table">{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        lines = [self.caption, *(" | ".join(row) for row in (self.head, *self.rows))]
        return {
            "text/html": self._repr_html_(),
            "text/plain": "\n".join(lines),
        }, named(self.name)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str,
    name: str | None = None,
) -> Table:
    """Make a table whose first column names its rows.

    Args:
        head: one heading a column, with its unit.
        rows: cells, shown by `str`; format numbers before.
        caption: what the table holds, in a sentence or a phrase.
        name: letters, digits and underscores; a page shows the table by this name.
    Returns:
        A `Table`; as the last expression of a cell, the notebook stores it.
    Raises:
        ValueError: if `caption` is empty, `name` is no identifier, or a row is not as
        long as `head`.

    >>> table(["model", "GiB"], [["a", 10]], caption="Cache at 32K").rows
    (('a', '10'),)
    """
    if not caption.strip():
        raise ValueError(
            f"caption={caption!r}: allowed is a phrase that says what the table holds"
        )
    if name is not None:
        check_name(name)
    cells = tuple(tuple(str(cell) for cell in row) for row in rows)
    for row in cells:
        if len(row) != len(head):
            raise ValueError(
                f"rows: {row} has {len(row)} cells; allowed are {len(head)}, one for "
                "each of head"
            )
    return Table(tuple(head), cells, caption, name)


def _row(row: Sequence[str]) -> str:
    first, *others = (html.escape(cell) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(
        f"<td>{cell}</td>" for cell in others
    )
