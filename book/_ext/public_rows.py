"""The directives of public measurements, made from `course_lib/costs/measured.yml`
while the book is built.

    ```{public-measurements}
    :name: tbl-measured
    Every row: the caption.
    ```
    ```{measurement-sources}     who reports it, when, and how it was read
    ```
"""

from collections.abc import Iterable

from coursepage import CourseDirective
from docutils import nodes
from docutils.parsers.rst import directives
from elements import html

from course_lib.costs.hardware import list_hardware
from course_lib.costs.measured import Measurement, bound, public_measurements, reached
from course_lib.course.beside import (
    bits_text,
    devices_text,
    measured_text,
    value_text,
    work_text,
)

HEAD = (
    "Device",
    "Model",
    "Reached",
    "Measured",
    "Bound",
    "Bits",
    "Requests",
    "Engine",
)
STYLE = "measured.css"


class PublicMeasurements(CourseDirective):
    """A numbered table with a caption: one row a measurement, by device."""

    has_content = True
    option_spec = {"name": directives.unchanged_required}  # noqa: RUF012

    def run(self):
        words = " ".join(" ".join(self.content).split())
        if not words.endswith(".") or "name" not in self.options:
            raise self.error(
                f"{self.name}: a caption in whole sentences and a name are allowed"
            )
        self.env.note_dependency(str(self.root / "course_lib/costs/measured.yml"))
        self.env.note_dependency(str(self.root / "course_lib/costs/hardware.yml"))
        caption, messages = self.parse_inline(words)
        node = numbered(HEAD, self.rows(), caption)
        node["classes"].append("measured-rows")
        self.set_source_info(node)
        self.add_name(node)
        return [node, *messages]

    def rows(self) -> list[list[str | nodes.Node]]:
        order = [*list_hardware()]
        found = sorted(
            public_measurements(),
            key=lambda row: (
                order.index(row.device) if row.device in order else len(order)
            ),
        )
        return [self.row(row) for row in found]

    def row(self, row: Measurement) -> list[str | nodes.Node]:
        share = limit = "-"
        if row.bound_is_known:
            limit, share = value_text(row.quantity, bound(row)), f"{reached(row):.0%}"
        source = nodes.reference("", row.engine, refuri=row.url, internal=False)
        return [
            devices_text(row),
            row.named,
            share,
            measured_text(row),
            limit,
            bits_text(row) + ("*" if row.assumed else ""),
            work_text(row),
            source,
        ]


class MeasurementSources(CourseDirective):
    """The reports, folded away."""

    def run(self):
        self.env.note_dependency(str(self.root / "course_lib/costs/measured.yml"))
        found = {row.url: row for row in public_measurements()}
        items = [html("li", *self.source(row)) for row in found.values()]
        return [
            html(
                "details",
                html("summary", "Who reports it, and how it was read"),
                html("ul", *items),
                class_="measurement-sources",
            )
        ]

    def source(self, row: Measurement) -> Iterable[nodes.Node | str]:
        yield nodes.reference("", row.title, refuri=row.url, internal=False)
        dated = f"reported {row.reported}" if row.reported else "undated"
        yield f": {row.engine}, {dated}, read {row.read} ({row.how})."


def numbered(
    head: Iterable[str],
    rows: Iterable[Iterable[str | nodes.Node]],
    caption: list[nodes.Node],
) -> nodes.table:
    """A table with a number and a caption, whose first column heads its rows."""
    head = list(head)
    group = nodes.tgroup("", cols=len(head))
    for place in range(len(head)):
        group += nodes.colspec("", colwidth=1, **({} if place else {"stub": 1}))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", nodes.title("", "", *caption), group)


def _row(cells: Iterable[str | nodes.Node]) -> nodes.row:
    made = nodes.row("")
    for cell in cells:
        inner = nodes.Text(cell) if isinstance(cell, str) else cell
        made += nodes.entry("", nodes.paragraph("", "", inner))
    return made


def setup(app):
    """Register the directives."""
    app.setup_extension("elements")
    app.setup_extension("outputs")
    app.add_css_file(STYLE)
    app.add_directive("public-measurements", PublicMeasurements)
    app.add_directive("measurement-sources", MeasurementSources)
    return {"version": "1", "parallel_read_safe": True}
