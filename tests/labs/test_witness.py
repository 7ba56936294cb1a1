"""The questions put from outside: right answers agree on them, and nothing but a value passes for one."""

import json

import pytest
import torch

from course_lib.course.labs.generate import lab_names, read_source
from course_lib.course.labs.kernel import Outcome
from course_lib.course.labs.marking import ASK, mark_plan, with_witnesses
from course_lib.course.labs.report import Mark
from course_lib.course.labs.submission import Plan, Step, lab_steps, solution_of
from course_lib.course.labs.witness import dissent, given_answers, plain, questions_of

from .answers import cell
from .test_other_styles import LABS

ASKED = [
    (lab, solution_of(step.grade_id))
    for lab in lab_names()
    for step, _ in lab_steps(read_source(lab))
    if step.points > 0
]
ASKED = list(dict.fromkeys(ASKED))


def answers(kernel, lab: str, exercise: str, code: str, seed: int) -> str:
    """What `code` answers to the questions of its exercise, in a kernel."""
    for step, _ in lab_steps(read_source(lab)):
        if step.role == "given" and not step.grade_id.startswith("table"):
            assert kernel(step.source).status == "ok"
    assert kernel(code).status == "ok"
    return kernel(ASK.format(lab=lab, exercise=exercise, seed=seed)).shown


@pytest.mark.parametrize(("lab", "exercise"), ASKED)
def test_two_right_answers_agree_and_each_seed_asks_for_other_values(kernel, lab, exercise):
    own = cell(read_source(lab), exercise).source
    first, second = (answers(kernel, lab, exercise, own, seed) for seed in (3, 4))
    assert "error" not in first.replace('{"error": "ValueError"}', "")
    assert first != second
    assert dissent(answers(kernel, lab, exercise, LABS[lab][exercise], 3), first) == []


@pytest.mark.parametrize("lab", lab_names())
def test_every_exercise_with_points_is_asked(lab):
    assert [name for of, name in ASKED if of == lab and questions_of(lab, name) is None] == []


class Anything(int):
    """An object that claims to equal everything."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1, 1.5),
        (1, True),
        (1.0, 1.0 + 1e-6),
        ([1, 2], [1, 2, 3]),
        ("a", "b"),
        ({(1, 2)}, {(2, 1)}),
        (torch.ones(2).double(), torch.ones(2)),
        (torch.ones(2, 1), torch.ones(1, 2)),
        (torch.ones(2), torch.tensor([1.0, torch.nan])),
        (torch.tensor([True]), torch.tensor([1])),
    ],
)
def test_values_are_compared_by_type_shape_and_number(value, other):
    told = {"0 f": plain(value)}
    assert dissent(json.dumps(told), json.dumps({"0 f": plain(other)})) == ["f"]
    assert dissent(json.dumps(told), json.dumps(told)) == []


@pytest.mark.parametrize("value", [Anything(3), object(), [object()], lambda: 3, torch.zeros(30_000)])
def test_what_is_no_value_is_an_error(value):
    def questions(rng, names):
        yield "f", lambda: value

    assert given_answers(questions, 0, {}) == {"0 f": {"error": "TypeError"}}


@pytest.mark.parametrize(
    "shown", ["", "[]", "[" * 10**5, '{"0 f": {"dtype": 1}}', '{"0 f": {"numbers": 3}}', "null"]
)
def test_an_answer_that_is_none_of_ours_confirms_nothing(shown):
    right = json.dumps({"0 f": plain(torch.ones(2)), "1 g": 3})
    assert dissent(shown, right) == ["f", "g"]


def test_a_function_that_is_missing_confirms_nothing_after_it():
    def questions(rng, names):
        yield "f", lambda: names["f"]()
        yield "g", lambda: names["g"]()

    def unwritten(rng, names):
        names["g"]()
        yield "g", lambda: 1

    assert given_answers(questions, 0, {"g": lambda: 2}) == {"0 f": {"error": "KeyError"}, "1 g": 2}
    assert given_answers(unwritten, 0, {}) == {"end": {"error": "KeyError"}}


def test_a_witness_stands_behind_its_exercise_so_that_a_later_cell_may_use_its_names():
    """A name that the last cell uses again, such as `run`, must not become the solution's answer."""
    steps = [
        Step("", "solution", "exercise-1"),
        Step("", "check", "check-1-run", 3.0),
        Step("run = 3", "given", "table-end"),
    ]
    roles = [step.role for step in with_witnesses(steps, "03_kv_cache", 0)]
    assert roles == ["solution", "check", "witness", "given"]


def test_a_worker_that_is_made_to_say_skipped_confirms_nothing():
    steps = (Step("check(f)", "check", "check-1-f", 3.0), Step("", "witness", "exercise-1"))
    mark = mark_plan(
        Plan(steps), [Outcome("ok"), Outcome("skipped")], Mark("a", "l"), {"exercise-1": '{"0 f": 1}'}
    )
    assert mark.total == 0 and "asked from outside f gives other values" in mark.reasons["exercise-1-f"]
