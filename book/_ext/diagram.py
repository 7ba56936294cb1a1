"""The `{diagram}` directive: a figure drawn when the book is built, with a number and a
visible caption.

    ```{diagram} block
    :name: fig-block

    What the reader should see, in whole sentences.
    ```

Its words are in the page's text, so the search finds them; a form without HTML (LaTeX,
text) gives the description in words.
"""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_lib.course.pictures.drawn import drawing
from course_lib.kit.diagrams.colours import page_css
from course_lib.kit.diagrams.figure import Figure

STYLE = "diagrams.css"


def figure_nodes(
    directive: SphinxDirective, drawn: Figure, name: str
) -> list[nodes.Node]:
    """A numbered figure with the directive's content as caption."""
    caption = " ".join(directive.content).strip()
    if not caption:
        raise directive.error(f"{name}: a caption is missing")
    if "name" not in directive.options:
        raise directive.error(f"{name}: `:name:` is missing")
    figure = nodes.figure(
        "",
        nodes.raw("", drawn.inline(f"d-{name}"), format="html"),
        nodes.raw("", drawn.description, format="text latex"),
        classes=["dgm-fig"],
    )
    words, messages = directive.state.inline_text(caption, directive.lineno)
    figure += nodes.caption("", "", *words)
    directive.set_source_info(figure)
    directive.add_name(figure)
    return [figure, *messages]


class Diagram(SphinxDirective):
    """A diagram of the chapters, by the name of its module."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        try:
            drawn = drawing(name)
        except ValueError as wrong:
            raise self.error(str(wrong)) from wrong
        return figure_nodes(self, drawn, name)


def _write_style(app: Sphinx, wrong: Exception | None) -> None:
    if wrong is None and app.builder.format == "html":
        folder = app.outdir / "_static"
        folder.mkdir(exist_ok=True)
        (folder / STYLE).write_text(page_css(), encoding="utf-8")


def setup(app: Sphinx) -> dict:
    """Register the directive and the style sheet of diagrams."""
    app.add_directive("diagram", Diagram)
    app.add_css_file(STYLE)
    app.connect("build-finished", _write_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
