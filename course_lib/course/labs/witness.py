"""What an answer gives for inputs that nobody knew before: the grader's second opinion.

A check runs in the kernel of the student's cells, and a cell can patch whatever runs
there. So the grader draws a seed, has the kernel put some questions to each function (a
*witness*: random inputs, a few calls) and show the values, and compares them outside
with the values that the lab's own solution gave to the same questions. Only values are
compared: numbers, texts, truth values, tensors, and lists of them. An object that
claims to equal everything is none of these.

    question    one call on random inputs, with the name of the function it is about
    answers     the values of all questions of an exercise, as JSON text
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

Question = tuple[str, Callable[[], Any]]
Questions = Callable[[torch.Generator, Mapping[str, Any]], Iterator[Question]]
MOST_NUMBERS = 20_000


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it, tensors with dtype and shape.

    Raises: TypeError for anything that is not a value.

    >>> plain((True, 2.5, torch.tensor([[1, 2]])))
    {'list': [True, 2.5, {'dtype': 'int64', 'shape': [1, 2], 'numbers': [1, 2]}]}
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        if value.numel() > MOST_NUMBERS:
            raise TypeError(f"a tensor of {value.numel()} numbers")
        return {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "numbers": value.detach().flatten().tolist(),
        }
    if type(value) in (list, tuple):
        return {"list": [plain(one) for one in value]}
    if type(value) is set:
        return {"set": sorted((plain(one) for one in value), key=json.dumps)}
    raise TypeError(f"a {type(value).__name__}")


def given_answers(
    questions: Questions, seed: int, names: Mapping[str, Any]
) -> dict[str, Any]:
    """Put `questions` to the functions in `names`; a call that raises gives the name of
    its error.
    """
    given: dict[str, Any] = {}
    try:
        for number, (name, ask) in enumerate(
            questions(torch.Generator().manual_seed(seed), names)
        ):
            given[f"{number} {name}"] = _answer(ask)
    # A function may be missing, or raise anything: the questions end there.
    except Exception as error:
        given["end"] = {"error": type(error).__name__}
    return given


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return plain(ask())
    except Exception as error:  # the student's code may raise anything
        return {"error": type(error).__name__}


def questions_of(lab: str, exercise: str) -> Questions | None:
    """The questions of one exercise of a lab, or None where it has none.

    >>> questions_of("03_kv_cache", "exercise-2").__name__
    'exercise_2'
    """
    try:
        module = import_module(f"course_lib.course.labs.witnesses.lab_{lab}")
    except ModuleNotFoundError:
        return None
    return getattr(module, exercise.replace("-", "_"), None)


def show_answers(lab: str, exercise: str, seed: int, names: Mapping[str, Any]) -> None:
    """Show the answers to one exercise's questions, in the kernel of the cells."""
    from IPython.display import display

    questions = questions_of(lab, exercise)
    assert questions is not None
    text = json.dumps(given_answers(questions, seed, names))
    display({"application/x-course-values": text}, raw=True)


def dissent(shown: str, expected: str) -> list[str]:
    """Names of the functions whose values differ from those expected, each once.

    >>> dissent('{"0 f": 1.0, "1 g": 3}', '{"0 f": 1.0000000000001, "1 g": 2}')
    ['g']
    """
    right = json.loads(expected)
    try:
        given = json.loads(shown)
    except (ValueError, RecursionError):
        given = {}
    given = given if isinstance(given, dict) else {}
    names = [
        question.split(" ", 1)[-1]
        for question, value in right.items()
        if question not in given or not _agree(given[question], value)
    ]
    return list(dict.fromkeys(names))


def _agree(a: Any, b: Any) -> bool:
    """True if two plain values are the same, numbers to nine digits (32 bits: five).

    A whole number may be a float: whether it should be an int is for the check to say.
    """
    if {type(a), type(b)} <= {int, float}:
        return _near(a, b, 1e-9)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_agree, a, b))
    if isinstance(a, dict) and "numbers" in b and "numbers" in a:
        close = 1e-9 if b["dtype"] == "float64" else 1e-5
        return (
            (a.get("dtype"), a.get("shape")) == (b["dtype"], b["shape"])
            and isinstance(a["numbers"], list)
            and len(a["numbers"]) == len(b["numbers"])
            and all(
                type(x) in (int, float, bool) and _near(x, y, close)
                for x, y in zip(a["numbers"], b["numbers"], strict=True)
            )
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_agree(a[key], b[key]) for key in b)
    return bool(a == b)


def _near(x: float, y: float, close: float) -> bool:
    both_nan = math.isnan(x) and math.isnan(y)
    return both_nan or x == y or math.isclose(x, y, rel_tol=close, abs_tol=close)
