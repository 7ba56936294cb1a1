"""What the gallery's page is made of: entries, thumbnails to scale, files, and the directive's list."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from course_lib.course.gallery.catalogue import MECHANISMS, entries, entry, shown_name
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.files import DESCRIBING, handed_over, picture, write_gallery
from course_lib.course.gallery.thumb import DEEPEST, LONG, TALL, WIDEST, thumbnail
from course_lib.course.gallery.timeline import timeline
from course_lib.specs.loader import list_specs, load_spec
from tests.javascript import run

ALL = entries()


def test_every_published_model_has_an_entry_the_newest_first():
    assert sorted(one.name for one in ALL) == list(list_specs())
    dates = [one.release.date for one in ALL if one.release.date]
    assert dates == sorted(dates, reverse=True)
    assert all(one.release.date is None for one in ALL[len(dates) :])


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        (
            "qwen3.5-35b-a3b",
            {"recurrent state", "output gate", "shared experts", "QK norm"},
            {"post-norm", "softcap"},
        ),
        (
            "deepseek-v3",
            {"latent attention (MLA)", "mixture of experts (MoE)"},
            {"multi-head attention (MHA)"},
        ),
        ("bert-base", {"bidirectional attention", "post-norm", "learned positions"}, {"RoPE"}),
        ("gemma-2-9b", {"sliding or local window", "softcap", "sandwich norm"}, {"QK norm", "relative bias"}),
        ("t5-base", {"cross-attention", "relative bias", "bidirectional attention"}, {"ALiBi"}),
        ("jamba-v0.1", {"no positions (NoPE)", "recurrent state"}, {"RoPE"}),
        (
            "falcon-7b",
            {"parallel residual", "multi-query attention (MQA)", "tied embeddings"},
            {"RoPE scaling"},
        ),
        ("clip-vit-l-14", {"images"}, {"recurrent state"}),
    ],
)
def test_a_mechanism_is_told_by_the_rows(name, has, has_not):
    found = set(entry(name).mechanisms)
    assert has <= found and not has_not & found


def test_every_mechanism_is_in_some_model_and_in_not_all():
    for name in MECHANISMS:
        assert 0 < sum(name in one.mechanisms for one in ALL) < len(ALL)


def test_a_published_model_is_shown_by_its_authors_name():
    assert shown_name(load_spec("llama-3.1-8b")) == "Llama 3.1 8B"
    assert shown_name(replace(load_spec("llama-3.1-8b"), name="llama")) == "llama"


def cells(svg: str) -> list[tuple[float, ...]]:
    """x, y, width and height of the cells of a thumbnail."""
    return [tuple(map(float, one)) for one in re.findall(r"M(-?[\d.]+) (-?[\d.]+)h([\d.]+)v([\d.]+)h", svg)]


def test_a_thumbnail_is_to_scale():
    """A model of half the layers is half as long, one of half the width half as high."""
    spec = load_spec("llama-3.1-405b")
    deep = cells(thumbnail(describe(spec)))
    assert max(x + w for x, _, w, _ in deep) == pytest.approx(LONG, abs=0.2)
    shallow = cells(thumbnail(describe(replace(spec, layers=spec.layers[:63]))))
    assert max(x + w for x, _, w, _ in shallow) == pytest.approx(LONG / 2, abs=0.2)
    wide = cells(thumbnail(describe(load_spec("palm-540b"))))
    assert max(y + h for _, y, _, h in wide) - min(y for _, y, _, _ in wide) == pytest.approx(TALL, abs=1.3)
    for one in ALL:
        assert ElementTree.fromstring(thumbnail(one.view)).get("aria-hidden") == "true"


@pytest.mark.parametrize("change", [{"layers": DEEPEST + 1}, {"width": 2 * WIDEST}])
def test_a_model_beyond_the_scale_is_refused(change):
    spec = load_spec("llama-3.1-405b")
    if "layers" in change:
        change = {"layers": spec.layers[:1] * change["layers"]}
    with pytest.raises(ValueError, match="allowed are at most 126 of 18432"):
        thumbnail(describe(replace(spec, **change)))


def circles(svg: str) -> int:
    return svg.count("<circle")


def test_the_timeline_has_a_mark_for_every_dated_model_and_one_for_what_a_mixture_activates():
    figure = timeline(ALL)
    dated = [one for one in ALL if one.release.date]
    mixtures = [one for one in dated if "mixture of experts (MoE)" in one.mechanisms]
    states = [one for one in dated if "recurrent state" in one.mechanisms]
    body = figure.panels[0].pen.body()
    assert circles(body) == len(dated) - len(states) + len(mixtures)
    assert body.count('class="p state"') == len(states) + 1  # and one in the legend
    assert figure.faults() == [] and timeline(ALL).inline("x") == figure.inline("x")
    assert f"{len(dated)} models from 2018 to 2026" in figure.description


def test_what_the_timeline_s_caption_says_of_mixtures():
    """In the four largest mixtures with a date, less than a tenth of the parameters works on a token."""
    mixtures = [
        {amount.key: amount.value for amount in one.view.amounts}
        for one in ALL
        if one.release.date and "mixture of experts (MoE)" in one.mechanisms
    ]
    largest = sorted(mixtures, key=lambda amounts: -amounts["total"])[:4]
    assert max(amounts["active"] / amounts["total"] for amounts in largest) < 0.1


def test_a_script_hands_the_picture_over():
    one = entry("gemma-3-27b")
    script = handed_over(one, picture(one))
    [name, html] = run(
        f"let got; globalThis.courseGalleryPut = (...found) => (got = found); {script}; return got;",
        None,
    )
    assert (name, html) == (one.name, picture(one).inline("g-gemma-3-27b"))
    assert "Gemma 3 27B" in html


def test_the_files_are_a_picture_and_a_script_for_each_model_and_no_larger_than_they_may_be(tmp_path):
    size = write_gallery(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {DESCRIBING} | {f"{name}.{ending}" for name in list_specs() for ending in ("svg", "js")}
    assert size < 4.2e6
    assert max(path.stat().st_size for path in tmp_path.glob("*.js") if path.name != DESCRIBING) < 28_000
    assert (tmp_path / DESCRIBING).stat().st_size < 760_000
