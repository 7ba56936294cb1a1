"""The cards' directives: what stops the build, and what is written once for every form of a card."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest
from sphinx.errors import ExtensionError

from .node import ROOT, STATIC


@pytest.fixture(scope="module")
def page():
    """Return the extension, imported as Sphinx does: its folder is on the path."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module("cards")
    sys.path.remove(str(ROOT / "book" / "_ext"))


def repository(tmp_path, cards="[]", library="/* ts-fsrs */"):
    """Write what the scripts are made from into a folder."""
    for name, text in {
        "book/curriculum.yml": "03_kv_cache: {topics: [kv-why], claims: []}",
        "book/cards/03_kv_cache.yml": cards,
        "book/_static/vendor/ts-fsrs/dist/index.umd.js": library,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def app(root):
    return SimpleNamespace(builder=SimpleNamespace(format="html"), srcdir=root, outdir=root / "html")


CARD = "- {id: one, kind: recall, topics: [kv-why], section: kv-why, question: Why so, answer: Because.}"


def test_the_scripts_that_are_made_name_the_cards_and_keep_the_library_unchanged(page, tmp_path):
    page.write_scripts(app(repository(tmp_path, CARD, "global.FSRS = {};")))
    made = tmp_path / "html/_static/cards"
    index = (made / "index.js").read_text()
    listed = json.loads(index[index.index(" = ") + 3 : index.rindex(";")])
    assert listed == [{"id": "03_kv_cache", "page": "book/03_kv_cache.html", "cards": ["one"]}]
    wrapped = (made / "fsrs.js").read_text()
    assert wrapped == "(function (define, exports, module) {global.FSRS = {};\n})();\n"


def test_a_library_that_was_not_fetched_stops_the_build_and_says_what_fetches_it(page, tmp_path):
    root = repository(tmp_path)
    (root / "book/_static/vendor/ts-fsrs/dist/index.umd.js").unlink()
    with pytest.raises(ExtensionError, match="vendor_assets"):
        page.write_scripts(app(root))


def test_cards_that_are_not_in_order_stop_the_build_by_file_card_and_field(page, tmp_path):
    with pytest.raises(ExtensionError, match=r"03_kv_cache\.yml: one: answer: missing"):
        page.load(repository(tmp_path, CARD.replace(", answer: Because.", "")))


def test_every_script_a_page_asks_for_is_there(page):
    made = {"fsrs", "index"}
    named = {name for names in page.SCRIPTS.values() for name in names} | set(page.EVERYWHERE)
    assert {name for name in named - made if not (STATIC / f"cards/{name}.js").is_file()} == set()
    assert {path.stem for path in (STATIC / "cards").glob("*.js")} == named - made


def test_the_scripts_put_no_text_into_a_page_as_html():
    for path in (STATIC / "cards").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for call in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert call not in text, f"{path.name}: {call}"
