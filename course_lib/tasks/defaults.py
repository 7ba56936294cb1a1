"""Questions about real documentation whose answers are known: the default values of
parameters in the packages that are installed.

    question   What is the default value of momentum in torch.nn.BatchNorm1d?
    passage    torch.nn.BatchNorm1d, momentum: the value used for the running_mean and
               running_var computation. ... Default: 0.1
    answer     0.1

A passage is one parameter's entry in a docstring. It is taken if it says what the
default is and the function's signature says the same, so an answer is known twice. What
makes it hard is what makes documentation hard: the same parameter comes up in many
functions, with other defaults.

Terms:
    documentation questions, closed-form answers: default values, read from docstrings
        and checked against signatures -> Fact, documented_defaults
    near-miss passage: the same parameter of another function, with another default ->
        near_misses
"""

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MODULES = (
    "torch.nn",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "scipy.signal",
    "scipy.optimize",
    "scipy.stats",
    "networkx",
)
_DEFAULT = re.compile(r"[Dd]efaults?(?: value)?(?: is| to|:|=)?:?\s*[`'\"]*(-?[\w.-]+)")
_LONGEST = 260  # characters of a passage


@dataclass(frozen=True)
class Fact:
    """A parameter's default value, and the passage that says it.

    Attributes:
        where: the function or class, with its module.
        parameter: its name.
        answer: the default, as the passage writes it.
        text: the entry of the docstring, in one line.
    """

    where: str
    parameter: str
    answer: str
    text: str

    @property
    def passage(self) -> str:
        """What an index holds."""
        return f"{self.where}, {self.text}"

    @property
    def question(self) -> str:
        """What is asked."""
        return f"What is the default value of {self.parameter} in {self.where}?"


@lru_cache(maxsize=1)
def documented_defaults(modules: Sequence[str] = MODULES) -> tuple[Fact, ...]:
    """Every documented default that is a number, in order of module and name.

    Left out: passages of more than 260 characters, and all but the first of those that
    share their question.

    >>> found = {fact.question: fact.answer for fact in documented_defaults()}
    >>> found["What is the default value of momentum in torch.nn.BatchNorm1d?"]
    '0.1'
    """
    first: dict[str, Fact] = {}
    for module in modules:
        for name, thing in sorted(vars(importlib.import_module(module)).items()):
            if callable(thing) and not name.startswith("_"):
                for fact in _facts(f"{module}.{name}", thing):
                    first.setdefault(fact.question, fact)
    return tuple(first.values())


def spread_questions(facts: Sequence[Fact], count: int, *, most: int, rng) -> list[int]:
    """Draw facts to ask about, at most `most` with the same answer and at most two of
    one function, so that no guess is often right.

    Raises:
        ValueError: there are not that many.
    """
    answers, places, taken = Counter(), Counter(), []
    for i in rng.sample(range(len(facts)), len(facts)):
        fact = facts[i]
        value = float(fact.answer)
        if answers[value] < most and places[fact.where] < 2:
            answers[value] += 1
            places[fact.where] += 1
            taken.append(i)
        if len(taken) == count:
            return taken
    raise ValueError(f"count={count}: allowed with most={most} are 0 to {len(taken)}")


def near_misses(facts: Sequence[Fact], index: int) -> list[int]:
    """The same parameter of other functions, with another default."""
    own = facts[index]
    return [
        i
        for i, fact in enumerate(facts)
        if fact.parameter == own.parameter and float(fact.answer) != float(own.answer)
    ]


def says(text: str, answer: str) -> bool:
    """Whether the first number of a text is the answer, however it is written.

    >>> says("The default is 1e-05.", "0.00001"), says("10, or 100", "100")
    (True, False)
    """
    found = re.search(r"-?\d+\.?\d*(?:e[+-]?\d+)?", text.lower())
    return found is not None and float(found.group()) == float(answer)


def _facts(where: str, thing: object) -> Iterator[Fact]:
    """What the docstring of one function says of its parameters' defaults."""
    try:
        parameters = inspect.signature(thing).parameters.items()
    except (TypeError, ValueError):
        return
    lines = (inspect.getdoc(thing) or "").splitlines()
    for name, parameter in parameters:
        default = parameter.default
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        text = _entry(lines, name)
        said = _DEFAULT.search(text)
        if said and len(where) + len(text) + 2 <= _LONGEST:
            answer = said.group(1).rstrip(".-")
            if _number(answer) == default:
                yield Fact(where, name, answer, text)


def _entry(lines: Sequence[str], name: str) -> str:
    """The first entry of a parameter: its line and those indented under it."""
    opens = re.compile(rf"\s*{name}\s*(\(.*?\))?\s*:")
    for i, line in enumerate(lines):
        if opens.match(line):
            indent, taken = len(line) - len(line.lstrip()), [line.strip()]
            for more in lines[i + 1 :]:
                if not more.strip() or len(more) - len(more.lstrip()) <= indent:
                    break
                taken.append(more.strip())
            return " ".join(taken)
    return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
