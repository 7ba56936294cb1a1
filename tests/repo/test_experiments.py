"""What stands behind each recorded experiment: baselines, enough paired seeds, budget, and a reader for it.

Design, "Evidence": a comparison counts where the models are clearly below what a count table does, or where
the task is solved; it shows at least five paired seeds, each variant at half and at double its rate, and its
numbers are those of the file that states it.
"""

import re

import pytest

from course_lib.course.recorded import read_records
from course_lib.evaluate.seed_sets import sets_of
from course_lib.kit.runs import RESULTS, load_run, other_seeds
from course_lib.train.experiment import Experiment
from course_lib.train.recording import declared, experiment_files, load_experiment

from .repository import ROOT, code_cells, data, files, matching, notebooks, source, text

NAMES = [file.stem for file in experiment_files()]
TRAINED = [name for name in NAMES if isinstance(load_experiment(name), Experiment)]
LARGEST_WEIGHTS = 450_000
SEEDS, MINUTES, CHAPTER_MINUTES = 5, 5, 90
# Comparisons that other seeds did not repeat, each said where it is printed.
NOT_REPEATED = {
    ("heads", "1 head minus 4 heads"),
    ("memory", "8 experts, 2 a token minus dense"),
    ("objectives", "'continues': masked minus causal"),
    ("sparse", "8 experts, 2 a token minus dense"),
    ("fixed_copying", "attention minus S4D"),
    ("graph_prompt", "one round minus edges"),
    ("ratio_and_place", "ssa minus sss"),
    ("segment_memories", "kNN memory minus full attention"),
}

each_name = pytest.mark.parametrize("name", NAMES)
each_trained = pytest.mark.parametrize("name", TRAINED)


def test_every_experiment_has_a_name_of_its_own_and_every_result_its_experiment():
    assert len(set(NAMES)) == len(NAMES)
    stems = {path.stem.split(".")[0] for path in RESULTS.glob("*.json")}
    assert stems == set(NAMES)
    kept = {entry["weights"] for name in TRAINED for entry in load_run(name).facts["kept"]}
    assert {path.name for path in RESULTS.glob("*.safetensors")} == kept
    data = {entry["data"] for name in TRAINED for entry in load_run(name).facts["kept"]}
    assert {f"data/{path.name}" for path in RESULTS.glob("data/*")} == data


@each_name
def test_a_notebook_and_a_page_name_it(name):
    code = re.compile(rf"""(load_run|recheck)\(\s*["']{name}["']""")
    assert any(code.search(source(cell)) for path in notebooks() for cell in code_cells(path))
    pages = [path for path in files() if re.fullmatch(r"book/\d\w*\.md", path.as_posix())]
    assert any(re.search(rf"\b{name}\.py\b", (ROOT / path).read_text()) for path in pages)


@each_name
def test_it_says_what_it_asks_its_machine_and_its_seconds(name):
    facts = load_run(name).facts
    assert facts["asks"].endswith("?") and facts["asks"] == load_experiment(name).asks
    assert {"processor", "cores", "python", "torch"} <= facts["machine"].keys()
    assert facts["cpu_s"] > 0


@each_trained
def test_the_results_are_of_what_the_file_states(name):
    assert load_run(name).facts["declared"] == declared(name, load_experiment(name))


@each_trained
def test_every_variant_has_five_seeds_or_more_the_same_as_the_base_at_two_budgets_and_its_rate_was_tried(
    name,
):
    run = load_run(name)
    assert len(run.budgets) >= 2 and run.budgets[-1] >= 2 * run.budgets[0]
    for variant in run.variants:
        for updates in run.budgets:
            seeds = set(run.losses(variant, updates))
            assert len(seeds) >= SEEDS and seeds == set(run.losses(run.base, updates))
        for rate in (0.5, 2.0):
            assert run.losses(variant, run.budgets[0], rate=rate)


@each_trained
def test_two_other_sets_of_seeds_were_run_at_the_first_budget(name):
    run, others = load_run(name), other_seeds(name)
    seen = [set(one.losses(run.base, run.budgets[0])) for one in (run, *others)]
    assert len(others) >= 2 and all(len(seeds) >= SEEDS for seeds in seen)
    assert len(set.union(*seen)) == sum(map(len, seen))
    stated = declared(name, load_experiment(name))["variants"]
    for one in others:
        assert one.facts["declared"]["variants"] == stated
        for variant in run.variants:
            assert set(one.losses(variant)) == set(one.losses(run.base))


@each_trained
def test_other_seeds_say_the_same_or_the_finding_is_listed(name):
    found = {(name, each.compared) for each in sets_of(load_run(name)) if not each.held}
    assert found == {entry for entry in NOT_REPEATED if entry[0] == name}


def test_a_verdict_on_what_other_seeds_did_not_repeat_speaks_of_seeds():
    names = {name for name, _ in NOT_REPEATED}
    claims = [claim for path in matching(r"book/claims/\w+\.yml") for claim in data(path.as_posix())]
    resting = [c for c in claims if names & {item.get("experiment") for item in c["evidence"]}]
    assert resting and [c["id"] for c in resting if "seeds" not in c["reason"]] == []


def test_every_experiment_stands_on_the_page_of_recorded_runs():
    assert [record.name for record in read_records(ROOT)] == NAMES
    assert {"```{recorded-runs-summary}", "```{recorded-runs}"} <= set(
        text("book/recorded_runs.md").splitlines()
    )


@each_trained
def test_it_counts_a_model_is_as_far_below_its_baseline_as_it_must_be(name):
    run = load_run(name)
    for task, facts in run.facts["tasks"].items():
        assert facts["baselines"], task
        line, below = facts["bar"]
        best = min(
            sum(losses) / len(losses)
            for variant in run.variants
            if run.facts["variants"][variant]["task"] == task
            for losses in [list(run.losses(variant).values())]
        )
        assert best <= facts["baselines"][line] - below, task


@each_trained
def test_its_runs_and_its_weights_are_small_enough(name):
    facts = load_run(name).facts
    assert max(run["cpu_s"] for run in facts["runs"]) <= 60 * MINUTES
    assert facts["kept"]
    for entry in facts["kept"]:
        assert (RESULTS / entry["weights"]).stat().st_size <= LARGEST_WEIGHTS


def test_a_chapters_runs_fit_into_ninety_minutes_of_two_cores():
    spent: dict[str, float] = {}
    for file in experiment_files():
        spent[file.parent.name] = spent.get(file.parent.name, 0.0) + load_run(file.stem).facts["cpu_s"]
    assert {chapter: s for chapter, s in spent.items() if s > 2 * 60 * CHAPTER_MINUTES} == {}
