"""A figure carries its alternative text, reads at page size, and has the same bytes every time."""

import html.parser
import io
import struct

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from course_lib.kit import plotting

ALT = 'Bytes against tokens: a line, "straight" & rising.'


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
        if tag == "img":
            self.found.append(dict(attributes))


def test_the_html_is_one_image_with_its_text_and_size():
    shown = plotting.show(draw(), alt=ALT)
    page = shown._repr_html_()
    (image,) = Images(page).found
    assert image["alt"] == ALT
    assert image["src"].startswith("data:image/png;base64,")
    assert (int(image["width"]), int(image["height"])) == (700, 350)
    assert page.startswith("<figure") and page.endswith("</figure>")


def test_show_closes_the_figure():
    plotting.show(draw(), alt=ALT)
    assert plt.get_fignums() == []


def test_a_second_drawing_has_the_same_bytes():
    assert plotting.show(draw(), alt=ALT).png == plotting.show(draw(), alt=ALT).png


def test_a_typical_figure_is_small():
    assert len(plotting.show(draw(), alt=ALT).png) < 60_000


def test_the_file_names_no_program_and_no_date():
    png = plotting.show(draw(), alt=ALT).png
    kinds, at = [], 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        kinds.append(kind.decode())
        at += size + 12
    assert kinds[0] == "IHDR" and kinds[-1] == "IEND"
    assert not {"tEXt", "iTXt", "zTXt", "tIME"} & set(kinds)


def test_the_card_is_opaque_and_near_white():
    pixels = plt.imread(io.BytesIO(plotting.show(draw(), alt=ALT).png))
    assert pixels[0, 0, :3].min() > 0.95
    assert pixels.shape[2] == 3 or pixels[:, :, 3].min() == 1.0


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


@pytest.mark.parametrize(("width", "size"), [(7.0, 9.0), (11.0, 12.0)])
def test_text_too_small_for_the_page_is_refused(width, size):
    with pytest.raises(ValueError, match=r"'Cache bytes' would stand at \d+\.\d pt"):
        plotting.show(titled(width, size), alt=ALT)


def titled(width, size):
    fig = plt.figure(figsize=(width, 3))
    fig.text(0.1, 0.1, "Cache bytes", fontsize=size)
    return fig


def test_small_figures_keep_their_text_size():
    assert plotting.page_points(11.0, 3.5) == plotting.page_points(11.0, 7.0) > plotting.SMALLEST_PT


@pytest.mark.parametrize("alt", ["", " \n "])
def test_a_figure_without_alternative_text_is_refused(alt):
    with pytest.raises(ValueError, match="alt="):
        plotting.show(draw(), alt=alt)


@pytest.mark.parametrize("name", ["", "two words", "1st"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match="name="):
        plotting.show(draw(), alt=ALT, name=name)
