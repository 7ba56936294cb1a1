"""Diagrams: what the pen writes, which faults it sees, and that those of the chapters are sound."""

import re
from xml.etree import ElementTree

import pytest

from course_lib.course.pictures.drawn import drawing, names
from course_lib.kit.diagrams.colours import DARK, LIGHT, ROLES, SHAPES, file_css, page_css
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, grid, legend, sign
from course_lib.kit.diagrams.pen import WIDTH, Pen, text_width

CLASSES = set(ROLES) | set(re.findall(r"\.dgm \.(\w)\{", SHAPES)) | {"d"}
SVG = "{http://www.w3.org/2000/svg}"


def panel(pen: Pen, height: float = 100) -> Panel:
    return Panel("A title", "A description.", pen, height)


def test_a_drawing_is_the_elements_in_the_order_of_painting():
    pen = Pen()
    pen.text(5, 20, "a < b", "B", key="k")
    pen.rect(0, 0, 10.04, 5, "b attn", 0)
    pen.path("M0 0", "w", under=True)
    assert pen.body() == (
        '<path d="M0 0" class="w"/><text x="5" y="20" class="B" data-k="k">a &lt; b</text>'
        '<rect x="0" y="0" width="10" height="5" class="b attn"/>'
    )


@pytest.mark.parametrize(
    ("x", "y", "anchor", "fault"),
    [
        (300, 20, "", "leaves the drawing at its side"),
        (20, 20, "end", "leaves the drawing at its side"),
        (5, 3, "", "leaves the drawing above or below"),
        (5, 99.9, "", "leaves the drawing above or below"),
        (40, 55, "", "lies on"),
    ],
)
def test_a_text_out_of_place_is_seen(x, y, anchor, fault):
    pen = Pen()
    pen.text(5, 50, "Grouped-query")
    assert not Figure(panel(pen)).faults()
    pen.text(x, y, "attention", "", anchor)
    (found,) = Figure(panel(pen)).faults()
    assert fault in found


def test_a_box_out_of_place_is_seen():
    pen = Pen()
    pen.rect(5, 5, WIDTH - 10, 90, "b")
    assert not Figure(panel(pen)).faults()
    pen.rect(5, 5, 20, 96, "b")
    (found,) = Figure(panel(pen)).faults()
    assert "a box at (5, 5) leaves the drawing" in found


def test_texts_one_line_apart_or_side_by_side_are_no_fault():
    pen = Pen()
    wide = text_width("keys", "T")
    pen.text(5, 50, "keys", "T")
    pen.text(5, 63, "values", "T")
    pen.text(5 + wide, 50, "queries")
    assert not Figure(panel(pen)).faults()


def test_a_drawing_taken_into_another_moves_with_its_texts():
    inner, outer = Pen(), Pen(2 * WIDTH)
    inner.text(5, 50, "inner")
    outer.take(inner, WIDTH, 10)
    assert (outer.texts[0].left, outer.texts[0].y) == (5 + WIDTH, 60)
    assert 'translate(340 10)"><text x="5" y="50">inner' in outer.body()


def test_an_arrow_stops_at_its_point_in_its_colour():
    pen = Pen()
    arrow(pen, (0, 0), (0, 50), cls="u attn d")
    line, head = pen.over
    assert 'class="u attn d"' in line and "43.6" in line
    assert 'class="p attn"' in head and head.count("L") == 2 and "M0 50" in head


def test_the_cells_of_a_grid_are_one_element_for_each_kind():
    pen = Pen()
    grid(pen, 0, 0, 3, 3, 10, lambda i, j: "p attn" if j <= i else None)
    assert [element.count("z") for element in pen.over] == [6, 3]
    assert ["attn" in element for element in pen.over] == [True, False]


def test_a_legend_says_its_height_and_a_sign_what_it_knows():
    assert legend(Pen(), 8, 0, [("p attn", "a"), ("p ffn", "b"), ("p kept", "c")]) == 30
    with pytest.raises(ValueError, match=r"what='-': allowed are '\+' and '×'"):
        sign(Pen(), 0, 0, "-")


def test_a_block_centres_its_lines_about_its_middle():
    pen = Pen()
    block(pen, 0, 0, 100, 40, ["one", "two"], "attn")
    assert [text.y for text in pen.texts] == [17.5, 30.5]


@pytest.mark.parametrize("wrong", [{"title": " "}, {"description": ""}])
def test_a_panel_without_words_is_refused(wrong):
    with pytest.raises(ValueError, match="allowed are words"):
        Panel(**{"title": "a", "description": "b", "pen": Pen(), "height": 1} | wrong)


def test_a_figure_needs_a_panel():
    with pytest.raises(ValueError, match="panels"):
        Figure()


def test_both_themes_have_every_colour():
    assert LIGHT.keys() == DARK.keys()
    for css in (page_css(), file_css()):
        used = set(re.findall(r"var\(--d-([\w-]+)[,)]", css))
        assert used <= set(LIGHT)
        assert all(f"--d-{name}:" in css for name in LIGHT)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_strokes_stand_out_in_both_themes(theme):
    for role in ROLES:
        assert contrast(theme["ink"], theme[f"{role}-f"]) >= 7
        assert contrast(theme["muted"], theme[f"{role}-f"]) >= 4.5
        assert contrast(theme[f"{role}-s"], theme["page"]) >= 3
    assert contrast(theme["muted"], theme["page"]) >= 4.5


@pytest.mark.parametrize("name", names())
def test_a_diagram_is_sound(name):
    figure = drawing(name)
    assert not figure.faults()
    assert figure.inline("x") == drawing(name).inline("x")
    root = ElementTree.fromstring(figure.inline("x"))
    used = {c for element in root.iter() for c in element.get("class", "").split()}
    assert used - {"dgm", "dgm-row"} <= CLASSES
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) == 2 * len(figure.panels)
    for svg in root.iter(f"{SVG}svg"):
        assert svg.find(f"{SVG}title").text and svg.find(f"{SVG}desc").text.strip().endswith(".")


def test_a_name_that_nothing_has_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"name='blok': allowed are .*block"):
        drawing("blok")
