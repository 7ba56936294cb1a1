"""A diagram in a notebook: one SVG as an image, with its alternative text.

    shown(draw_model(load_spec("jamba-v0.1")), name="fig_jamba")

Any viewer shows the image, which follows the reader's light or dark system. The book
puts the drawing itself into its page (`kit.plotting.inlined`), where it takes the
page's colours.

Terms:
    diagram in a notebook: a drawing made by code as the output of a cell -> shown
"""

from base64 import b64encode
from dataclasses import dataclass, field
from html import escape

from course_lib.kit.diagrams.figure import Figure
from course_lib.kit.diagrams.pen import number
from course_lib.kit.output_names import check_name, named

LARGER = 1.25  # as on a page, where a panel may grow by a quarter


@dataclass(frozen=True)
class ShownDiagram:
    """A diagram as a notebook stores it.

    Attributes:
        svg: of all panels, side by side.
        width: in units of the drawing.
        alt: what a reader who does not see it is told.
        name: the name a page asks for it by, or None.
    """

    svg: str = field(repr=False)
    width: float
    alt: str
    name: str | None

    def _repr_html_(self) -> str:
        data = b64encode(self.svg.encode()).decode("ascii")
        return (
            '<figure class="plot" style="margin:0">'
            f'<img data-diagram="" alt="{escape(self.alt)}" '
            f'width="{number(self.width * LARGER)}" '
            'style="max-width:100%;height:auto" '
            f'src="data:image/svg+xml;base64,{data}"></figure>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {
            "text/html": self._repr_html_(),
            "text/plain": f"[figure] {self.alt}",
        }, named(self.name)


def shown(figure: Figure, *, name: str | None = None, alt: str = "") -> ShownDiagram:
    """Turn a diagram into its notebook form.

    Args:
        figure: of one panel, or of some that have room beside each other.
        name: letters, digits and underscores, unique in its notebook.
        alt: what it shows; the descriptions of its panels when left out.
    Returns:
        a `ShownDiagram`; as the last expression of a cell, the notebook stores it.
    Raises:
        ValueError: `name` is not an identifier.
    """
    if name is not None:
        check_name(name)
    alt = " ".join((alt or figure.description).split())
    return ShownDiagram(figure.as_file(ids=name or "figure"), figure.width, alt, name)
