"""Recorded runs: stated, made once, kept, read back and checked again; with a toy that takes a second."""

import json

import pytest
import torch
from rich.console import Console
from tools import run_experiments

from course_lib.evaluate.comparison import (
    compare_runs,
    comparison_header,
    comparison_rows,
    curve_figure,
    difference_figure,
)
from course_lib.kit.runs import load_run, other_seeds
from course_lib.specs.small import small_llama
from course_lib.train import recheck as rechecking
from course_lib.train import recording
from course_lib.train.batches import Batch
from course_lib.train.experiment import Experiment, Trial, run_one
from course_lib.train.kept import packed, slug, unpacked

TOY = '''
"""A toy: counting upwards, with and without attention heads enough."""
import torch
from course_lib.specs.small import small_llama
from course_lib.train.experiment import Experiment, Measurement, Task

def rows(generator):
    start = torch.randint(16, (4, 1), generator=generator)
    row = (start + torch.arange(9)) % 16
    return row[:, :-1], row[:, 1:]

task = Task(
    name="counting",
    batch=rows,
    held_out=[rows(torch.Generator().manual_seed(9)) for _ in range(3)],
    baselines=lambda: {"chance": 2.772589},
    bar=("chance", 0.5),
    scores=lambda model: {"layers": len(model.blocks)},
)
experiment = Experiment(
    asks="Do two blocks count better than one?",
    task=task,
    variants={
        "two": small_llama(16, layers=2, heads=2, vocab=16),
        "one block": small_llama(16, layers=1, heads=2, vocab=16),
    },
    seeds=range(3),
    updates=(12, 24),
    lr=1e-2,
)
'''
MEASURED = '''
"""Something measured once."""
from course_lib.train.experiment import Measurement

experiment = Measurement(asks="How many?", measure=lambda: {"found": [1, 2]})
'''


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Where single runs are kept: one that a test has made, the next reads."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def house(tmp_path, runs, monkeypatch):
    """A repository with two experiments, and every folder the runs go to."""
    chapter = tmp_path / "experiments" / "07_toys"
    chapter.mkdir(parents=True)
    (chapter / "counting.py").write_text(TOY)
    (chapter / "measured.py").write_text(MEASURED)
    results = tmp_path / "experiments" / "results"
    monkeypatch.setattr(recording, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(recording, "results_folder", lambda: results)
    monkeypatch.setattr(run_experiments, "results_folder", lambda: results)
    monkeypatch.setattr(rechecking, "RESULTS", results)
    monkeypatch.setattr(rechecking, "load_run", lambda name: load_run(name, results))
    monkeypatch.setenv("COURSE_RUNS", str(runs))
    recording.load_experiment.cache_clear()
    yield tmp_path
    recording.load_experiment.cache_clear()


def make(house, name="counting", seeds=None):
    run_experiments.run(name, seeds, 1, Console(quiet=True))
    return load_run(name, house / "experiments" / "results")


def test_every_variant_seed_and_budget_is_run_and_each_variant_at_half_and_double_the_rate(house):
    run = make(house)
    own = [(r["variant"], r["seed"], r["updates"]) for r in run.facts["runs"] if r["rate"] == 1]
    assert sorted(own) == sorted((v, s, u) for v in ("two", "one block") for s in range(3) for u in (12, 24))
    tried = [(r["variant"], r["seed"], r["updates"], r["rate"]) for r in run.facts["runs"] if r["rate"] != 1]
    assert sorted(tried) == sorted((v, 0, 12, rate) for v in ("two", "one block") for rate in (0.5, 2.0))
    assert run.variants == ["two", "one block"] and run.base == "two" and run.budgets == [12, 24]
    assert run.baselines() == {"chance": 2.772589} and run.unit == "nats per byte"
    assert run.tokens() == 24 * 4 * 8 and run.tokens(12) == 12 * 4 * 8
    assert run.scores("two", "layers") == {0: 2, 1: 2, 2: 2}
    for fact in ("processor", "cores", "python", "torch", "transformers"):
        assert run.facts["machine"][fact]
    assert "24 updates, 768 tokens" in run.budget() and "3 seeds" in run.budget()


def test_a_record_is_what_a_run_gives_and_variants_see_the_same_batches(house):
    run, experiment = make(house), recording.load_experiment("counting")
    finished = run_one(experiment, Trial("one block", 1, 24))
    (record,) = (r for r in run.runs("one block") if r["seed"] == 1)
    assert record["loss"] == finished.record["loss"] == record["curve"]["24"]
    assert record["first"] == finished.record["first"] and len(record["first"]) == 10
    assert list(record["curve"]) == ["0", "6", "12", "18", "24"]
    seen = {}
    for name in experiment.variants:
        batches = recording._first_batches(experiment.variant(name).task, 1)
        seen[name] = torch.cat([b[0] for b in batches])
    assert torch.equal(seen["two"], seen["one block"])
    assert record["train"]["24"] == pytest.approx(finished.record["train"]["24"])


def test_what_was_finished_is_not_run_again_and_what_changed_is(house, monkeypatch):
    make(house)
    monkeypatch.setattr(recording, "run_one", lambda *_: pytest.fail("run again"))
    make(house)
    file = house / "experiments" / "07_toys" / "counting.py"
    for old, new in (("lr=1e-2", "lr=2e-2"), ("layers=1, heads=2", "layers=1, heads=4"), ("% 16", "% 15")):
        file.write_text(TOY.replace(old, new))
        recording.load_experiment.cache_clear()
        with pytest.raises(pytest.fail.Exception, match="run again"):
            make(house)


def test_a_variant_of_the_same_size_is_another_variant(house):
    facts = make(house).facts["declared"]
    file = house / "experiments" / "07_toys" / "counting.py"
    file.write_text(TOY.replace("layers=1, heads=2", "layers=1, heads=4"))
    recording.load_experiment.cache_clear()
    other = recording.declared("counting", recording.load_experiment("counting"))
    sizes = [stated["variants"]["one block"].pop("model") for stated in (facts, other)]
    assert sizes[0] != sizes[1] and facts == other


def test_kept_weights_score_the_record_and_the_first_updates_repeat(house):
    run = make(house)
    found = rechecking.recheck("counting")
    assert found.holds and found.gaps[0] < 1e-6 and found.gaps[1] < 1e-6
    assert abs(found.loss - run.losses("two")[0]) < 1e-2  # rounded to float16
    file = house / "experiments" / "results" / "counting.json"
    facts = json.loads(file.read_text())
    facts["kept"][0]["loss"] += 0.01
    file.write_text(json.dumps(facts))
    assert not rechecking.recheck("counting").holds
    facts["kept"][0]["loss"] -= 0.01
    for record in facts["runs"]:
        record["first"][9] += 0.001
    file.write_text(json.dumps(facts))
    assert not rechecking.recheck("counting").holds
    with pytest.raises(ValueError, match="variant='one block': allowed are two"):
        rechecking.recheck("counting", "one block")


def test_other_seeds_have_a_file_of_their_own(house):
    make(house)
    make(house, seeds=[7, 8, 9])
    (other,) = other_seeds("counting", house / "experiments" / "results")
    assert other.budgets == [12] and sorted(other.losses("two")) == [7, 8, 9]
    assert {r["rate"] for r in other.facts["runs"]} == {1.0}
    assert run_experiments.seeds_of("3,7-9") == [3, 7, 8, 9]


def test_a_measurement_is_kept_with_its_machine(house):
    make(house, "measured")
    facts = json.loads((house / "experiments" / "results" / "measured.json").read_text())
    assert facts["results"] == {"found": [1, 2]} and facts["asks"] == "How many?"
    assert facts["machine"]["torch"] and facts["cpu_s"] >= 0


def test_a_comparison_is_paired_and_says_what_it_could_have_seen(house):
    run = make(house)
    for place, record in enumerate(r for r in run.facts["runs"] if r["rate"] == 1 and r["updates"] == 24):
        record["loss"] = {"two": 1.0, "one block": 1.1}[record["variant"]] + record["seed"] + 0.001 * place
    found = compare_runs(run, "one block")
    assert found.seeds == (0, 1, 2) and found.seen and found.detectable > 0
    assert found.interval.mean == pytest.approx(0.1, abs=0.01)
    assert not compare_runs(run, "two", "two").seen
    assert comparison_rows(run)[1][-1] == str(found) and len(comparison_header(run)) == 6
    assert curve_figure(run).axes[0].get_ylabel() == "held-out loss (nats per byte)"
    labels = [text.get_text() for text in difference_figure(run).axes[0].get_yticklabels()]
    assert labels == ["one block, 12 updates", "one block, 24 updates"]


def test_names_that_are_not_there_are_refused(house):
    run = make(house)
    for call, said in (
        (lambda: run.losses("three"), "variant='three': allowed are two, one block"),
        (lambda: run.losses("two", 13), r"updates=13: allowed are \[12, 24\]"),
        (lambda: run.losses("two", 24, rate=0.5), "rate=0.5: allowed"),
        (lambda: run.scores("two", "accuracy"), "score='accuracy'.*layers"),
        (lambda: load_run("nothing", house), "name='nothing': allowed are none yet"),
        (lambda: recording.load_experiment("nothing"), "only='nothing'.*counting, measured"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    task = recording.load_experiment("counting").task
    spec = small_llama(16, layers=1, heads=2, vocab=16)
    with pytest.raises(ValueError, match="variants="):
        Experiment(asks="?", task=task, variants={"a": spec})
    with pytest.raises(ValueError, match="keep="):
        Experiment(asks="?", task=task, variants={"a": spec, "b": spec}, keep=("c",))


def test_batches_of_every_kind_come_back_as_they_were():
    mask = torch.tensor([[True, False]])
    whole = Batch(torch.tensor([[300, 2]]), torch.tensor([[-1, 70000]]), mask)
    pair = torch.tensor([[1, 2]]), torch.tensor([[2, 3]])
    for batches in ([whole, whole], [pair, pair]):
        back = unpacked(packed(batches, "x"), "x")
        assert type(back[0]) is type(batches[0]) and len(back) == 2
        for one, other in zip(batches[1], back[1], strict=True):
            assert (one is None and other is None) or (torch.equal(one, other) and one.dtype == other.dtype)
    assert packed([pair], "x")["x.0000.0"].dtype == torch.uint8
    assert slug("One block, 2x") == "one-block-2x"
