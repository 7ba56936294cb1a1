"""The ledger: a finished chapter answers every claim and covers every topic, and what it names is there."""

import pytest

from course_lib.course.ledger.claims import VERDICTS

from .evidence import anchors, asserts, problem
from .repository import data, matching

CURRICULUM = data("book/curriculum.yml")
CLAIM_EVIDENCE = {"notebook", "test", "call", "citation", "experiment"}
RUNS = {"notebook", "test", "call"}
TOPIC_PLACES = {"page", "notebook", "lab", "test"}


def entries(kind: str) -> list[tuple[str, dict]]:
    """Return (chapter, entry) for every entry of book/<kind>/*.yml."""
    paths = matching(rf"book/{kind}/\w+\.yml")
    return [(path.stem, entry) for path in paths for entry in data(path.as_posix())]


def name(entry) -> str:
    return entry["id"] if isinstance(entry, dict) else str(entry)


CLAIMS, TOPICS = entries("claims"), entries("topics")
FINISHED = sorted({chapter for chapter, _ in CLAIMS + TOPICS})


@pytest.mark.parametrize("chapter", FINISHED)
@pytest.mark.parametrize(("kind", "all_entries"), [("claims", CLAIMS), ("topics", TOPICS)])
def test_a_finished_chapter_leaves_nothing_out(chapter, kind, all_entries):
    listed = [entry["id"] for found, entry in all_entries if found == chapter]
    expected = CURRICULUM[chapter][kind]
    assert sorted(set(expected) - set(listed)) == [], "not answered"
    assert sorted(set(listed) - set(expected)) == [], "not in book/curriculum.yml"
    assert len(listed) == len(set(listed)), "listed twice"


@pytest.mark.parametrize(("chapter", "claim"), CLAIMS, ids=name)
def test_a_claim_has_a_verdict_and_evidence_that_is_there(chapter, claim):
    missing = [key for key in ("claim", "source", "verdict", "reason", "evidence") if not claim.get(key)]
    assert missing == []
    assert claim["verdict"] in VERDICTS
    problems = [problem(item, allowed=CLAIM_EVIDENCE) for item in claim["evidence"]]
    assert list(filter(None, problems)) == []


@pytest.mark.parametrize(("chapter", "claim"), CLAIMS, ids=name)
def test_a_claim_that_holds_is_shown_by_something_that_runs(chapter, claim):
    if claim["verdict"] != "cannot-be-verified":
        assert any(RUNS & set(item) for item in claim["evidence"])
    else:
        assert any("citation" in item for item in claim["evidence"])


@pytest.mark.parametrize(("chapter", "topic"), TOPICS, ids=name)
def test_a_topic_is_covered_where_it_says(chapter, topic):
    assert topic.get("covered"), "no place is named"
    problems = [problem(item, allowed=TOPIC_PLACES, must_assert=False) for item in topic["covered"]]
    assert list(filter(None, problems)) == []


def test_each_id_stands_once_in_the_curriculum():
    for kind in ("topics", "claims"):
        listed = [entry for chapter in CURRICULUM.values() for entry in chapter[kind]]
        assert len(listed) == len(set(listed))
    assert [len(CURRICULUM["03_kv_cache"][kind]) for kind in ("topics", "claims")] == [18, 17]


@pytest.mark.parametrize(
    "wrong",
    [
        {"notebook": "no_such", "tag": "claim-x"},
        {"test": "tests/repo/test_ledger.py::no_such"},
        {"test": "tests/repo/evidence.py::problem"},
        {"call": "fractions.Fraction", "arguments": {"numerator": 2}, "expected": 2.1},
        {"citation": "nobody1900"},
        {"experiment": "no_such"},
        {"guess": "trust me"},
    ],
)
def test_evidence_that_is_not_there_is_found_out(wrong):
    assert problem(wrong, allowed=CLAIM_EVIDENCE) != ""


def test_only_a_statement_asserts():
    assert asserts("if x:\n    assert x")
    assert not asserts("# assert\nprint('assert x')")


def test_evidence_that_is_there_passes():
    two = {"call": "fractions.Fraction", "arguments": {"numerator": 2}, "expected": 2}
    assert problem(two, allowed=RUNS) == ""
    here = {"test": "tests/repo/test_ledger.py::test_evidence_that_is_there_passes"}
    assert problem(here, allowed=RUNS) == ""
    assert problem({"citation": "vaswani2017attention"}, allowed={"citation"}) == ""
    assert anchors("# A `b` c!") == {"a-b-c"}
