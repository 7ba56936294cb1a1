"""The `{output}` directive: a figure or a table of a notebook, with a number and a
caption.

    ```{output} 03_kv_cache/02_cache_budget:fig_concurrency
    :name: fig-concurrency
    Requests that fit on eight H100 at once, against their context. Each line is one
    model; a line that ends has no room for a single request.
    ```

The content is the caption: whole sentences that say what to see and what the marks
mean. `{numref}` refers to the name. Figures become drawings in the page (so do those on
the notebooks' own pages); a builder that is no HTML gets the alternative text. A table
becomes a table of the page, in every form of the book.
"""

import json
import re
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path

from coursepage import CourseDirective
from docutils import nodes
from docutils.parsers.rst import directives

from course_lib.kit.plotting import inlined

NOTEBOOKS = "notebooks"
SYMBOL = re.compile(r"\b([a-zA-Z])_([a-z])\b")


class OutputDirective(CourseDirective):
    """Show the output that a notebook has filed under a name."""

    required_arguments, has_content = 1, True
    option_spec = {"name": directives.unchanged_required}  # noqa: RUF012

    def run(self):
        target = self.arguments[0]
        notebook, _, name = target.partition(":")
        path = self.root / NOTEBOOKS / f"{notebook}.ipynb"
        self.env.note_dependency(str(path))
        words = " ".join(" ".join(self.content).split())
        if not words.endswith((".", "?", "!")) or "name" not in self.options:
            raise self.error(
                f"{target}: the caption is {words!r}, the name "
                f"{self.options.get('name')!r}; allowed are whole sentences and a name"
            )
        try:
            found = read_output(path, name)
        except (OSError, KeyError) as error:
            raise self.error(f"output {target!r} not found: {error!r}") from error
        caption, messages = self.parse_inline(words)
        shown = found["text/html"]
        if shown.lstrip().startswith("<table"):
            node = table(shown, caption)
        else:
            node = figure(found, caption, self.env.app.builder.name)
        self.set_source_info(node)
        self.add_name(node)
        return [node, *messages]


def read_output(path: Path, name: str) -> dict[str, str]:
    """Return the forms of an output that `show` or `table` has filed under a name.

    Raises:
        KeyError: the notebook has no such output, or more than one.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = [
        {kind: "".join(text) for kind, text in output["data"].items()}
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == name
    ]
    if len(found) != 1:
        raise KeyError(f"{name}: {len(found)} outputs of this name")
    return found[0]


def figure(
    found: dict[str, str], caption: list[nodes.Node], builder: str
) -> nodes.figure:
    """Return a numbered figure; outside of the site its alternative text stands for
    it.
    """
    alt = found["text/plain"].removeprefix("[figure] ")
    node = nodes.figure("", classes=["plot-figure"])
    if builder != "epub":
        node += nodes.raw("", inlined(found["text/html"]), format="html")
    told = nodes.paragraph("", alt) if builder == "epub" else nodes.raw("", alt)
    told["format"] = "text latex"
    node += told
    node += nodes.caption("", "", *caption)
    return node


class _Rows(HTMLParser):
    """The cells of a table that `course_lib.kit.tables` has written."""

    def __init__(self, page: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.cell = []

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.rows[-1].append("".join(self.cell))
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell.append(data)


def table(page: str, caption: list[nodes.Node]) -> nodes.table:
    """Return a notebook's table as a numbered one."""
    head, *rows = _Rows(page).rows
    return captioned(head, rows, caption)


def captioned(
    head: Sequence[str],
    rows: Iterable[Sequence[str | nodes.Node]],
    caption: list[nodes.Node],
) -> nodes.table:
    """Return a table with a caption, whose first column heads its rows."""
    group = nodes.tgroup("", cols=len(head))
    for place in range(len(head)):
        column = nodes.colspec("", colwidth=1)
        if place == 0:
            column["stub"] = 1
        group += column
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", nodes.title("", "", *caption), group)


def _row(cells: Sequence[str | nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", _paragraph(cell)) for cell in cells))


def _paragraph(cell: str | nodes.Node) -> nodes.paragraph:
    """Return a cell's words; a symbol with an index, "d_k", is set as one."""
    if isinstance(cell, nodes.Node):
        return nodes.paragraph("", "", cell)
    made, at = nodes.paragraph(), 0
    for found in SYMBOL.finditer(cell):
        made += nodes.Text(cell[at : found.start()])
        made += [nodes.emphasis("", found[1]), nodes.subscript("", found[2])]
        at = found.end()
    made += nodes.Text(cell[at:])
    return made


def inline_figures(app, doctree):
    """Put the figures of a notebook's own page into it as drawings."""
    for raw in doctree.findall(nodes.raw):
        if "html" in raw["format"].split() and '<figure class="plot"' in raw.astext():
            page = inlined(raw.astext())
            raw.rawsource, raw.children = page, []
            raw += nodes.Text(page)


def visit_table(translator, node):
    """Write a table's caption above the box in which the table scrolls."""
    title = next((x for x in node.children if isinstance(x, nodes.title)), None)
    if title is None or not node["ids"]:
        type(translator).visit_table(translator, node)
        return
    name = f"{node['ids'][0]}-caption"
    body = translator.body
    body.append(translator.starttag(node, "div", CLASS="table-captioned"))
    body.append(f'<p class="table-caption" id="{name}">')
    translator.add_fignumber(node)
    body.append('<span class="caption-text">')
    for child in title.children:
        child.walkabout(translator)
    body.append("</span>")
    translator.add_permalink_ref(node, "Link to this table")
    body.append("</p>")
    node.remove(title)
    node["captioned"], node["ids"] = True, []
    type(translator).visit_table(translator, node)
    body[-1] = body[-1].replace("<table", f'<table aria-labelledby="{name}"', 1)


def depart_table(translator, node):
    """Close what `visit_table` has opened."""
    type(translator).depart_table(translator, node)
    if node.get("captioned"):
        translator.body.append("</div>\n")


def setup(app):
    """Register the directive, and how HTML writes a table with a caption."""
    app.add_directive("output", OutputDirective)
    app.add_node(nodes.table, override=True, html=(visit_table, depart_table))
    app.connect("doctree-read", inline_figures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
