"""A finding under other seeds: one sign in every set, none, or not the same; and its line on the pages."""

import importlib
import sys
from pathlib import Path

import pytest

from course_lib.course.ledger import evidence
from course_lib.course.recorded import Record, read_records
from course_lib.evaluate.intervals import Interval
from course_lib.evaluate.seed_sets import difference, measures, sets_of
from course_lib.kit.runs import RecordedRun, load_run

ROOT = Path(__file__).resolve().parents[2]
JITTER = (0.0, 0.002, -0.001, 0.003, -0.002)


def recorded(gap, seeds=range(5), *, name="toy", tasks=("text", "text"), budgets=(10, 20)):
    """A record of two variants whose losses and scores differ by `gap` in the mean."""

    def entry(variant, seed, updates):
        loss = 1.0 + (gap + JITTER[seed % 5] if variant == "cut" else 0.0)
        scores = {"right": loss, "fluent": 2 * loss}
        return {"variant": variant, "seed": seed, "updates": updates, "rate": 1.0, "loss": loss} | {
            "scores": scores,
            "cpu_s": 2.0,
            "curve": {},
        }

    facts = {
        "asks": "Does it matter?",
        "base": "whole",
        "updates": list(budgets),
        "cpu_s": 40.0,
        "tasks": {
            task: {"unit": "nats per byte", "baselines": {"bigram": 2.4}, "tokens_per_update": 512}
            for task in tasks
        },
        "variants": {
            variant: {"task": task, "parameters": 7}
            for variant, task in zip(("whole", "cut"), tasks, strict=True)
        },
        "runs": [entry(v, seed, at) for v in ("whole", "cut") for seed in seeds for at in budgets],
    }
    return RecordedRun(name, facts)


@pytest.mark.parametrize(
    ("gaps", "held", "verdict"),
    [
        ((0.1, 0.08, 0.12), True, "held"),
        ((-0.1, -0.08, -0.12), True, "held"),
        ((0.0, 0.0, 0.0), True, "seen in none"),
        ((0.1, 0.0, 0.12), False, "seen in 2 of 3"),
        ((0.0, 0.0, 0.12), False, "seen in 1 of 3"),
        ((0.1, 0.08, -0.12), False, "the sign differs"),
    ],
)
def test_a_finding_held_if_every_set_says_the_same(gaps, held, verdict):
    own, *others = (recorded(gap, range(100 * place, 100 * place + 5)) for place, gap in enumerate(gaps))
    (found,) = sets_of(own, others)
    assert (found.held, found.verdict) == (held, verdict)
    assert [one.interval.mean for one in found.sets] == pytest.approx([gap + 0.0004 for gap in gaps])
    assert found.compared == "cut minus whole"


def test_it_is_the_first_budget_that_is_compared_and_scores_where_the_tasks_differ():
    own = recorded(0.1)
    for run in own.facts["runs"]:
        run["loss"] += 5.0 if (run["variant"], run["updates"]) == ("cut", 20) else 0.0
    (found,) = sets_of(own, [])
    assert found.sets[0].updates == 10 and found.sets[0].interval.mean < 1
    assert measures(own) == [None]
    other = recorded(0.1, tasks=("left to right", "both sides"))
    assert measures(other) == ["right", "fluent"]
    first, second = sets_of(other, [other])
    assert first.compared == "'right': cut minus whole" and len(first.sets) == 2
    assert second.sets[0].interval.mean == pytest.approx(2 * first.sets[0].interval.mean)


def test_a_set_that_was_not_run_at_the_first_budget_is_refused():
    with pytest.raises(ValueError, match=r"updates=10: allowed are \[20\]"):
        sets_of(recorded(0.1), [recorded(0.1, budgets=(20,))])


def test_a_record_on_the_page_says_what_every_set_gave():
    others = tuple(recorded(gap, range(at, at + 5)) for gap, at in ((0.08, 100), (0.0, 200)))
    record = Record("02_a", recorded(0.1), others, ("02_a/01_b",))
    assert record.header() == [
        "Difference",
        "10 updates",
        "20 updates",
        "seeds 100 to 104, 10 updates",
        "seeds 200 to 204, 10 updates",
        "Other seeds",
    ]
    ((compared, first, second, one, other, verdict),) = record.rows()
    assert compared == "cut minus whole" and first == second and first.startswith("+0.100 ± ")
    assert one.startswith("+0.080") and other.startswith("+0.000") and verdict == "seen in 2 of 3"
    assert record.verdict() == "cut minus whole: seen in 2 of 3"
    assert Record("02_a", recorded(0.1), others[:1], ()).verdict() == "held"
    assert Record("02_a", recorded(0.0), (recorded(0.0),), ()).verdict() == "seen in none"
    assert Record("02_a", recorded(0.1), (), ()).verdict() == "not tried"
    assert record.cpu_s == 120.0 and record.unit == "nats per byte"


def test_differences_have_the_digits_that_say_something():
    assert difference(Interval(0.12, 0.11, 0.13, 5, 0.95)) == "+0.120 ± 0.010"
    assert difference(Interval(-17.5, -33.0, -2.0, 5, 0.95)) == "-17.5 ± 15.5"


def test_a_claims_evidence_is_read_from_the_record(monkeypatch):
    sets = [recorded(0.08, range(100, 105)), recorded(0.12, range(200, 205))]
    monkeypatch.setattr(evidence, "load_run", lambda name: recorded(0.1, name=name))
    monkeypatch.setattr(evidence, "other_seeds", lambda name: sets)
    found = evidence.look_up(ROOT, {"experiment": "toy"})
    assert found.held and found.name == "toy"
    (line,) = found.lines
    assert line.startswith("cut minus whole, +0.100 ± ") and "nats per byte; under other seeds +0.080" in line
    assert line.endswith("(held)")
    monkeypatch.setattr(evidence, "other_seeds", lambda name: [])
    with pytest.raises(ValueError, match="toy was not run under other seeds"):
        evidence.look_up(ROOT, {"experiment": "toy"})


def test_every_record_is_read_with_the_notebooks_that_read_it():
    records = {record.name: record for record in read_records(ROOT)}
    assert "02_attention_math/07_feed_forward" in records["feed_forward"].readers
    assert not records["rerank"].trained and records["rerank"].verdict() == "measured, not trained"
    assert records["feed_forward"].run.facts == load_run("feed_forward").facts


def test_an_experiment_without_results_is_named(tmp_path):
    with pytest.raises(ValueError, match="name='composition': allowed are none yet"):
        read_records(ROOT, tmp_path)


@pytest.fixture(scope="module")
def page():
    """The extension, imported as Sphinx does: its folder is on the path."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module("recorded_runs")
    sys.path.remove(str(ROOT / "book" / "_ext"))


def test_anchors_and_cpu_time_are_said_as_a_person_would(page):
    assert page.anchor("kv_heads") == "run-kv-heads"
    assert [page.minutes(s) for s in (43.2, 99.4, 1015.7)] == ["43\xa0s", "99\xa0s", "17\xa0min"]
