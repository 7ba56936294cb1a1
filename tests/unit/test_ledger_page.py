"""The ledger's source is read or refused by name, its evidence is looked up, and the page is made from it."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml
from docutils import nodes
from hypothesis import given
from hypothesis import strategies as st

from course_lib.course.ledger.claims import VERDICTS, coverage, problems, read_claims, verdict_counts
from course_lib.course.ledger.evidence import call, look_up, tagged_cells
from course_lib.kit.values import record

ROOT = Path(__file__).resolve().parents[2]
CURRICULUM = {"03_kv_cache": {"claims": ["kv-formula", "gqa-4-8"]}, "04_moe": {"claims": ["moe-formula"]}}
BYTES = {"batch": 1, "tokens": 1, "kv_heads": 8, "head_dim": 128, "layers": 80, "bytes_per_element": 2}
CALL = {"call": "course_lib.costs.cache.kv_cache_bytes", "arguments": BYTES, "expected": 327680}
CELL = {"notebook": "03_kv_cache/02_budget", "tag": "claim-kv-formula"}
GOOD = {
    "id": "kv-formula",
    "claim": "A layer's cache\n takes 2 B n G d_k b bytes.",
    "source": {"document": "002", "section": "3.2"},
    "verdict": "holds",
    "reason": "It equals the bytes of the tensors.",
    "evidence": [CELL, CALL, {"citation": "shazeer2019fast", "section": "2"}],
}
WITHOUT = object()


@pytest.fixture(scope="module")
def page():
    """Return the extension, imported as Sphinx does: its folder is on the path."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module("ledger")
    sys.path.remove(str(ROOT / "book" / "_ext"))


@pytest.fixture
def claims_in(tmp_path):
    """Return a function that writes a claims file, or its text, and reads the folder."""

    def read(entries, chapter="03_kv_cache"):
        folder = tmp_path / "claims"
        folder.mkdir(exist_ok=True)
        content = entries if isinstance(entries, str) else yaml.safe_dump(entries)
        (folder / f"{chapter}.yml").write_text(content, encoding="utf-8")
        return read_claims(folder, CURRICULUM)

    return read


def changed(**fields):
    return {key: value for key, value in (GOOD | fields).items() if value is not WITHOUT}


def write_notebook(root):
    """Write a notebook with two tagged cells under two headings, one with values, and a removed one."""
    stored = {"output_type": "execute_result", "data": record(total=(10.0, "GiB"))._repr_mimebundle_()}
    more = {"output_type": "execute_result", "data": record(a=1, b=(2.5, "s"))._repr_mimebundle_()}
    tagged = {"cell_type": "code", "source": "assert True", "metadata": {"tags": [CELL["tag"]]}}
    cells = [
        {
            "cell_type": "markdown",
            "source": ["# How many\n", "## By hand"],
            "metadata": {"tags": [CELL["tag"]]},
        },
        tagged | {"outputs": []},
        {"cell_type": "code", "source": "", "metadata": {}, "outputs": [stored]},
        {"cell_type": "markdown", "source": "## Exactly", "metadata": {}},
        tagged | {"outputs": [stored]},
        tagged | {"outputs": [more], "metadata": {"tags": [CELL["tag"], "remove-cell"]}},
    ]
    path = root / "notebooks" / f"{CELL['notebook']}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_a_good_file_becomes_claims(claims_in):
    (claim,) = claims_in([GOOD])
    assert (claim.chapter, claim.id, claim.document, claim.section) == (
        "03_kv_cache",
        "kv-formula",
        "002",
        "3.2",
    )
    assert claim.claim == "A layer's cache takes 2 B n G d_k b bytes."
    assert claim.evidence == tuple(GOOD["evidence"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verdict": "hold"}, "verdict='hold': allowed is one of .* \\(did you mean holds\\?\\)"),
        ({"reason": WITHOUT}, "reason: missing"),
        ({"reason": " "}, "reason: empty"),
        ({"claim": 5}, "claim=5: allowed is text"),
        ({"verdit": "holds"}, "verdit: no such field; .*did you mean verdict"),
        ({"source": "guide 3.2"}, "source='guide 3.2': allowed is a mapping"),
        ({"source": {"document": 2, "section": "3"}}, "source.document=2: allowed is text \\(in quotes"),
        ({"evidence": []}, "evidence: empty"),
        ({"evidence": ["trust me"]}, "evidence 1: 'trust me': allowed is a mapping with exactly one of"),
        ({"evidence": [CELL | CALL]}, "evidence 1: .*exactly one of"),
        ({"evidence": [CALL, {"notebook": "03/x"}]}, "evidence 2: tag: missing"),
        ({"evidence": [CELL | {"notebook": "../../x/y"}]}, "evidence 1: notebook='../../x/y'"),
        ({"evidence": [CALL | {"call": "os.system"}]}, "evidence 1: call='os.system': allowed is the form"),
        ({"evidence": [CALL | {"call": "course_lib.costs._x"}]}, "evidence 1: call="),
        ({"evidence": [CALL | {"rel": "1e-3"}]}, "evidence 1: rel='1e-3': allowed is a number"),
        ({"evidence": [{"citation": "a`b"}]}, "evidence 1: citation="),
    ],
)
def test_what_is_wrong_is_named_by_file_claim_and_field(claims_in, fields, message):
    with pytest.raises(ValueError, match=f"claims/03_kv_cache.yml: kv-formula: {message}"):
        claims_in([changed(**fields)])


def test_everything_wrong_is_said_at_once(claims_in):
    with pytest.raises(ValueError) as raised:
        claims_in([changed(verdict="no", reason=""), changed(id="gqa-4-8", claim="")])
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- id: [", "03_kv_cache.yml: not readable as YAML"),
        ("id: kv-formula", "03_kv_cache.yml: the file is a list of claims"),
        ("- {id: a, id: b}", "03_kv_cache.yml: line 1: field 'id' stands twice"),
        ("- !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("- kv-formula", "an entry is a mapping with the fields id, claim"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused(claims_in, content, message):
    with pytest.raises(ValueError, match=message):
        claims_in(content)


def test_an_id_stands_once_and_in_its_chapter(claims_in):
    with pytest.raises(ValueError, match="kv-formula: id: stands 2 times"):
        claims_in([GOOD, GOOD])
    with pytest.raises(ValueError, match=r"kv-formul: id: not among the claims .*did you mean kv-formula\?"):
        claims_in([changed(id="kv-formul")])
    with pytest.raises(ValueError, match=r"04_moe.yml: gqa-4-8: id: not among"):
        (claims_in([GOOD]), claims_in([changed(id="gqa-4-8")], chapter="04_moe"))


KEYS = st.sampled_from(
    [*GOOD, "document", "section", "notebook", "tag", "call", "arguments", "rel", "citation"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*VERDICTS])
)
TREES = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS | LEAVES, x, max_size=6)
)


@given(TREES)
def test_whatever_an_entry_is_it_is_described_and_never_crashes(entry):
    assert all(isinstance(what, str) for what in problems(entry))
    assert list(problems(entry))


def test_counts_and_coverage(claims_in):
    claims = claims_in([GOOD])
    assert verdict_counts(claims) == dict.fromkeys(VERDICTS, 0) | {"holds": 1}
    assert coverage(claims, CURRICULUM) == {"03_kv_cache": (1, 2), "04_moe": (0, 1)}


def test_tagged_cells_are_found_with_their_headings_and_values(tmp_path):
    write_notebook(tmp_path)
    found = tagged_cells(tmp_path, CELL)
    assert found.title == "How many"
    assert found.places == (("claim-kv-formula", "By hand"), ("claim-kv-formula-2", "Exactly"))
    shown = [(anchor, value.text()) for anchor, value in found.values]
    assert shown == [("claim-kv-formula-2", text) for text in ("10 GiB", "1", "2.5 s")]


def test_a_removed_cell_alone_is_no_place_to_link_to(tmp_path):
    write_notebook(tmp_path)
    path = tmp_path / "notebooks" / f"{CELL['notebook']}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    path.write_text(json.dumps({"cells": [cells[0], cells[-1], *cells[1:-1]]}))
    with pytest.raises(ValueError, match="has no code cell on the page tagged claim-kv-formula"):
        tagged_cells(tmp_path, CELL)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (CELL | {"notebook": "03_kv_cache/none"}, "notebooks/03_kv_cache/none.ipynb is not there"),
        (CELL | {"tag": "claim-other"}, "has no code cell on the page tagged claim-other"),
        (CALL | {"expected": 1}, "is 327680, expected 1"),
        (CALL | {"arguments": {}}, "raised TypeError"),
        (CALL | {"call": "course_lib.costs.cache.nothing"}, "raised AttributeError"),
        (CALL | {"expected": "327680"}, "expected 327680"),
    ],
)
def test_evidence_that_is_not_there_says_so(tmp_path, item, message):
    write_notebook(tmp_path)
    with pytest.raises(ValueError, match=message):
        look_up(tmp_path, item)


def test_a_call_is_made_and_shown():
    found = call(CALL)
    assert found.text() == "327,680"
    assert found.code.startswith("course_lib.costs.cache.kv_cache_bytes(batch=1, tokens=1, ")
    assert call(CALL | {"expected": 327681, "rel": 1e-3}).value == 327680


def test_what_is_not_there_is_kept_as_an_error_with_its_place(page, claims_in, tmp_path):
    (claim,) = claims_in([GOOD])
    cells, called, cited = page.looked_up(tmp_path, claim)
    assert str(cells).startswith("book/claims/03_kv_cache.yml: kv-formula: evidence 1: notebook: ")
    assert (called.value, cited) == (327680, GOOD["evidence"][2])


def test_the_book_has_a_name_and_a_shape_for_each_verdict(page):
    shapes = {verdict: page.badge(verdict) for verdict in VERDICTS}
    drawn = {badge.next_node(nodes.raw).astext() for badge in shapes.values()}
    assert len(drawn) == len(set(page.MEANINGS.values())) == len(VERDICTS)
    assert all(VERDICTS[verdict] in badge.astext() for verdict, badge in shapes.items())


def test_a_chapter_is_called_by_its_page(page, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "03_kv_cache.md").write_text("(label)=\n# The KV cache\n", encoding="utf-8")
    assert page.chapter_name(tmp_path, "03_kv_cache") == "3. The KV cache"
    (tmp_path / "book" / "05_states.md").write_text("# 5. States\n", encoding="utf-8")
    assert page.chapter_name(tmp_path, "05_states") == "5. States"
    assert page.chapter_name(tmp_path, "04_moe") == "04_moe"


def test_counts_in_words(page):
    assert page.in_words(dict.fromkeys(VERDICTS, 0) | {"holds": 1}) == "1 claim. Holds: 1."


def test_tagged_cells_get_their_anchors(page):
    doctree = nodes.section()
    classes = (["cell", "tag_claim-a"], ["cell"], ["cell", "tag_topic-b", "tag_claim-a", "tag_claim-c"])
    doctree += [nodes.container(classes=names) for names in classes]
    page.anchor_cells(None, doctree)
    assert [cell["ids"] for cell in doctree] == [["claim-a"], [], ["claim-a-2", "claim-c", "topic-b"]]


def test_a_select_has_its_label(page):
    label, select = page.choice("by-x", "X", "All", [("a", "A")])
    assert label["html"]["for"] == select["ids"][0] == "by-x"
    assert [(option["html"]["value"], option.astext()) for option in select] == [("", "All"), ("a", "A")]


def test_the_claims_of_the_book_are_in_order(page):
    claims, curriculum = page.load(ROOT)
    assert all(answered in (0, listed) for answered, listed in coverage(claims, curriculum).values())
    assert len(claims) == sum(verdict_counts(claims).values()) > 0
