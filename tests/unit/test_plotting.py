"""A figure carries its alternative text, follows its page, reads on a phone, and has the same bytes."""

import html.parser
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import ListedColormap
from matplotlib.text import Text

from course_lib.kit import palette, plotting
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.shown import shown
from course_lib.kit.narrow import NARROW_IN, make_narrow, panels
from course_lib.kit.narrow_legend import fit_legends

ALT = 'Bytes against tokens: a line, "straight" & rising.'
SHEET = Path(__file__).parents[2] / "book" / "_static" / "plots.css"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def drawing():
    plt.switch_backend("agg")
    plotting.style()
    yield
    plt.close("all")


def draw(width=7.0, **text):
    fig, ax = plt.subplots(figsize=(width, 3.5))
    for k in range(4):
        ax.plot(range(20), [(k + 1) * x**1.5 for x in range(20)], label=f"layer {k}")
    ax.set(xlabel="tokens", ylabel="bytes")
    ax.set_title("Cache bytes", **text)
    ax.legend()
    return fig


class Images(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag in ("img", "source"):
            self.found.append(dict(attributes))


def test_the_html_is_an_image_in_two_forms_with_its_text_and_size():
    page = plotting.show(draw(), alt=ALT)._repr_html_()
    narrow, image = Images(page).found
    assert image["alt"] == ALT
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert (int(image["width"]), int(image["height"])) == (700, 350)
    assert narrow["media"] == "(max-width: 600px)" and narrow["srcset"] != image["src"]
    assert page.startswith("<figure") and page.endswith("</figure>")


def test_a_page_gets_both_drawings_in_place_of_the_image():
    shown = plotting.show(draw(), alt=ALT)
    page = plotting.inlined(f"<p>before</p>{shown._repr_html_()}<p>after</p>")
    assert "<img" not in page and "base64" not in page
    both = f'<figure class="plot" style="margin:0">{shown.wide}{shown.narrow}</figure>'
    assert page == f"<p>before</p>{both}<p>after</p>"


def test_a_diagram_is_an_image_in_a_notebook_and_a_drawing_in_the_pages_colours_on_a_page():
    pen = Pen()
    pen.text(4, 15, "Six layers")
    drawn = Figure(Panel("A stack", "Six layers, two attend.", pen, 20))
    stored = shown(drawn, name="fig_stack")._repr_html_()
    (image,) = Images(stored).found
    assert image["alt"] == "A stack: Six layers, two attend." and image["width"] == "425"
    page = plotting.inlined(f"<p>before</p>{stored}<p>after</p>")
    assert "<img" not in page and "<style>" not in page and 'id="fig_stack-t"' in page
    assert re.search(r"<p>before</p><figure[^>]*><svg .*Six layers.*</svg></figure><p>after</p>", page, re.S)
    with pytest.raises(ValueError, match="name='a b'"):
        shown(drawn, name="a b")


def test_show_closes_the_figure():
    plotting.show(draw(), alt=ALT)
    assert plt.get_fignums() == []


def test_a_second_drawing_has_the_same_bytes():
    first, second = (plotting.show(draw(), alt=ALT) for _ in range(2))
    assert (first.wide, first.narrow) == (second.wide, second.narrow)


def test_a_typical_figure_is_small():
    shown = plotting.show(draw(), alt=ALT)
    assert max(len(shown.wide), len(shown.narrow)) < 9_000


def test_words_stay_words_and_nothing_reaches_outside():
    for svg in (shown := plotting.show(draw(), alt=ALT)).wide, shown.narrow:
        root = ElementTree.fromstring(svg)
        words = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
        assert {"Cache bytes", "tokens", "bytes", "layer 3"} <= words
        assert not {"style", "metadata", "script"} & {e.tag.removeprefix(SVG) for e in root.iter()}
        assert "matplotlib" not in svg.lower() and "http" not in svg.replace(SVG[1:-1], "")
        assert root.find(f"{SVG}title").text == "Cache bytes" and root.find(f"{SVG}desc").text == ALT
        assert root.get("role") == "img"


def test_colours_are_variables_with_the_colour_as_fallback():
    svg = plotting.show(draw(), alt=ALT).wide
    assert "stroke:var(--plot-blue,#0072b2)" in svg and "background:var(--plot-card,#fcfcfa)" in svg
    bare = re.sub(r"var\(--plot-[a-z]+,#[0-9a-f]{6}\)", "", svg)
    assert re.findall(r"#[0-9a-f]{6}\b", bare) == []


def test_every_colour_of_the_palette_has_a_variable_and_the_book_sets_it_for_day_and_night():
    sheet = SHEET.read_text()
    day, night = sheet.split('html[data-theme="dark"]', 1)
    for colour in (*palette.COLOURS, palette.GRID, palette.MUTED, palette.CARD):
        assert f"{palette.VARIABLES[colour]}:" in day and f"{palette.VARIABLES[colour]}:" in night


def test_ids_are_few_and_differ_between_figures_and_forms():
    one, two = plotting.show(draw(), alt=ALT), plotting.show(draw(), alt="Another.")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one.wide, one.narrow, two.wide, two.narrow)]
    assert sum(map(len, ids)) == len(set.union(*ids)) and max(map(len, ids)) < 10
    for svg in (one.wide, one.narrow):
        referred = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
        assert referred <= set(re.findall(r' id="([^"]+)"', svg))


def test_numbers_have_one_decimal_and_small_opacities_stay():
    fig, ax = plt.subplots()
    ax.plot([0, 1 / 3], [0, 2 / 3])
    ax.axhspan(0.1, 0.2, color=plotting.INK, alpha=0.07)
    svg = plotting.show(fig, alt=ALT).wide
    assert "opacity:0.07" in svg
    lines = [path for path in re.findall(r'<path d="([^"]+)"', svg) if "clip" not in path]
    assert not any(re.search(r"\.\d{3}", path) for path in lines)


def test_a_formula_flows_in_reading_order():
    fig, ax = plt.subplots()
    ax.set_xlabel("pair i ($d_k$ = 128)")
    root = ElementTree.fromstring(plotting.show(fig, alt=ALT).wide)
    assert "pair i (dk = 128)" in {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}


def test_a_picture_of_few_colours_becomes_squares_and_one_of_many_stays_small():
    fig, ax = plt.subplots()
    ax.imshow(np.tril(np.ones((8, 8))), cmap=ListedColormap([plotting.CARD, plotting.BLUE]))
    svg = plotting.show(fig, alt=ALT).wide
    assert "<image" not in svg and "M0 0h1v1h-1z" in svg and "fill:var(--plot-paper" not in svg
    fig, ax = plt.subplots()
    ax.imshow(np.arange(64 * 64).reshape(64, 64), cmap=plotting.SHADES)
    svg = plotting.show(fig, alt=ALT).wide
    assert svg.count("<image") == 1 and len(svg) < 16_000


def test_the_scales_let_the_paper_through():
    assert plotting.SHADES(0.0)[3] == 0 and plotting.SHADES(1.0)[3] == 1
    assert plotting.DIVERGING(0.5)[3] < 0.01 and plotting.DIVERGING(0.0)[:3] != plotting.DIVERGING(1.0)[:3]


def test_a_crowd_of_marks_is_one_picture():
    fig, ax = plt.subplots()
    ax.scatter(range(2000), range(2000))
    assert len(plotting.show(fig, alt=ALT).wide) < 60_000


def test_a_name_files_the_figure_for_pages_once():
    data, metadata = plotting.show(draw(), alt=ALT, name="cache_growth")._repr_mimebundle_()
    assert metadata == {"scrapbook": {"name": "cache_growth", "mime_prefix": ""}}
    assert set(data) == {"text/html", "text/plain"} and ALT in data["text/plain"]
    assert plotting.show(draw(), alt=ALT)._repr_mimebundle_()[1] == {}


def test_lines_differ_in_colour_and_in_dash():
    _, ax = plt.subplots()
    lines = [ax.plot([0, 1])[0] for _ in plotting.COLOURS]
    assert len({line.get_color() for line in lines}) == len(lines)
    assert len({str(line.get_linestyle()) + str(line._unscaled_dash_pattern) for line in lines}) == len(lines)


def luminance(colour):
    channels = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_and_the_first_lines_stand_out_from_the_card():
    assert contrast(plotting.INK, plotting.CARD) > 7  # WCAG 2.2, text, level AAA
    for colour in plotting.COLOURS[:3]:
        assert contrast(colour, plotting.CARD) > 3  # WCAG 2.2, graphical objects


@pytest.mark.parametrize("paper", ["#ffffff", "#14181e"])
def test_the_book_s_colours_stand_out_by_day_and_by_night(paper):
    sheet = SHEET.read_text()
    part = sheet.split('html[data-theme="dark"]', 1)[paper != "#ffffff"].split("}")[0]
    found = dict(re.findall(r"(--plot-[a-z]+): (#[0-9a-f]{3,6})", part))
    for colour in (*palette.COLOURS, palette.MUTED):
        assert contrast(found[palette.VARIABLES[colour]], paper) > (7 if colour == palette.INK else 3)


@pytest.mark.parametrize(("width", "size"), [(7.0, 9.0), (11.0, 12.0)])
def test_text_too_small_for_the_page_is_refused(width, size):
    with pytest.raises(ValueError, match=r"'Cache bytes' would stand at \d+\.\d pt"):
        plotting.show(titled(width, size), alt=ALT)


def test_a_narrow_form_too_wide_for_a_phone_is_refused():
    with pytest.raises(ValueError, match=r"'Cache bytes' would stand at 7\.6 px on a phone"):
        plotting.show(draw(), alt=ALT, narrow=titled(7.0, 11.0))


def titled(width, size):
    fig = plt.figure(figsize=(width, 3))
    fig.text(0.1, 0.1, "Cache bytes", fontsize=size)
    return fig


def test_a_phone_s_figure_is_narrow_with_its_legend_below_the_axes():
    fig = draw()
    make_narrow(fig)
    assert fig.get_size_inches()[0] == NARROW_IN
    (ax,) = fig.axes
    (legend,) = fig.legends
    assert ax.get_legend() is None
    assert legend.get_window_extent().y1 < ax.get_window_extent().y0
    assert [text.get_text() for text in legend.get_texts()] == [f"layer {k}" for k in range(4)]


def test_panels_that_stood_side_by_side_stand_under_one_another_and_keep_their_labels():
    fig, axes = plt.subplots(1, 3, figsize=(7, 3), sharey=True)
    for ax in axes:
        ax.plot([0, 1], [0, 1])
        ax.set(xlabel="tokens")
    axes[0].set_ylabel("bytes")
    make_narrow(fig)
    boxes = [ax.get_window_extent() for ax in panels(fig)]
    assert all(a.y0 > b.y1 for a, b in itertools.pairwise(boxes))
    assert all(box.width > 0.7 * fig.bbox.width for box in boxes)
    assert [ax.get_ylabel() for ax in axes] == ["bytes"] * 3
    assert all(any(t.get_text() for t in ax.get_yticklabels() if t.get_visible()) for ax in axes)


def test_long_words_are_wrapped_and_ticks_that_touch_are_thinned():
    fig, ax = plt.subplots()
    ax.barh(["a very long name of one row, in words", "another"], [1, 2])
    ax.set_xticks([i / 10 for i in range(0, 21)], [f"{i / 10:.2f}" for i in range(0, 21)])
    ax.set_title("A title that is much longer than a phone is wide, and has to break")
    make_narrow(fig)
    width = fig.bbox.width
    for text in fig.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            assert box.x0 > -1 and box.x1 < width + 1, text.get_text()
    shown = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
    assert len(shown) > 2 and all(a.x1 < b.x0 for a, b in itertools.pairwise(shown))


def test_a_legend_wider_than_its_figure_gets_fewer_columns():
    fig, ax = plt.subplots()
    for k in range(4):
        ax.plot([0, k], label=f"a label of many words, number {k}")
    fig.legend(loc="outside lower center", ncols=4)
    fit_legends(fig)
    fig.draw_without_rendering()
    (legend,) = fig.legends
    assert [text.get_text()[-1] for text in legend.get_texts()] == list("0123")
    assert legend.get_window_extent().x0 >= 0 and legend.get_window_extent().x1 <= fig.bbox.width


def test_small_figures_keep_their_text_size():
    assert plotting.page_points(11.0, 3.5) == plotting.page_points(11.0, 7.0) > palette.SMALLEST_PT


@pytest.mark.parametrize("alt", ["", " \n "])
def test_a_figure_without_alternative_text_is_refused(alt):
    with pytest.raises(ValueError, match="alt="):
        plotting.show(draw(), alt=alt)


@pytest.mark.parametrize("name", ["", "two words", "1st"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match="name="):
        plotting.show(draw(), alt=ALT, name=name)


def test_a_hatch_keeps_its_pattern():
    plotting.style()
    fig, ax = plt.subplots()
    ax.barh(["a"], [1], color=plotting.VERMILION, hatch="//", edgecolor=plotting.CARD)
    svg = plotting.show(fig, alt="A bar that is hatched, from 0 to 1.").wide
    [wanted] = set(re.findall(r"url\(#([^)]*)\)", "".join(re.findall(r'style="[^"]*"', svg))))
    assert f'<pattern id="{wanted}"' in svg or re.search(rf'<pattern [^>]*id="{wanted}"', svg)
    assert "var(--plot-vermilion" in svg.split("<pattern")[1].split("</pattern>")[0]


def test_stacked_panels_keep_the_titles_of_columns_and_the_labels_of_rows():
    plotting.style()
    fig, axes = plt.subplots(2, 2, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.plot([1, 2], [1, 2])
    for ax, words in zip(axes[0], ("equal", "mixed"), strict=True):
        ax.set_title(words)
    for ax, words in zip(axes[:, 0], ("first token", "whole answer"), strict=True):
        ax.set_ylabel(words)
    narrow = plotting.show(fig, alt="Four panels in two rows and two columns.").narrow
    told = re.findall(r">(equal|mixed|first token|whole answer)</text>", narrow)
    assert sorted(told) == sorted(2 * ["equal", "mixed", "first token", "whole answer"])


def test_long_names_of_rows_are_wrapped_where_there_is_room_and_never_left_out():
    plotting.style()
    for rows, lines in ((4, 2), (24, 1)):
        names = [f"a long name of the row with the number {i}" for i in range(rows)]
        fig, ax = plt.subplots(figsize=(7, 5))
        ax.barh(names, range(1, rows + 1))
        narrow = plotting.show(fig, alt="Bars with long names.").narrow
        assert narrow.count("a long name") == rows
        assert (f">{names[0]}<" in narrow) == (lines == 1)
