"""What a calculator is: the question, what is entered, the lines of its formula, its
plot, and what it says.

The lines are expressions over the inputs' symbols and earlier lines. They come from
calling the functions of `costs` with symbols, on a model's structure where the
calculator has a model. The formula on the page and the numbers in it are both made from
them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import sympy

from course_lib.course.calculators.inputs import INPUTS, Input, find_input
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec

Symbols = Mapping[str, sympy.Symbol]
UNITS = (
    "bytes",
    "seconds",
    "count",
    "number",
    "flops",
    "weights",
    "share",
    "times",
    "per second",
    "USD",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a formula.

    `value` over inputs and earlier lines; `letter` LaTeX of its left side; `unit` one
    of `UNITS`; `label` names it among the results (where that is empty, it is not one);
    `printed` whether it stands in the formula; `along` the symbol it is a function of,
    apart from the inputs; `may_be_none` whether it may come out not finite, which then
    says that there is none (a price at which two tie).
    """

    name: str
    letter: str
    value: sympy.Expr
    unit: str
    label: str = ""
    printed: bool = True
    along: sympy.Symbol | None = None
    may_be_none: bool = False

    @property
    def symbol(self) -> sympy.Symbol:
        """The symbol by which later lines use this one."""
        return sympy.Symbol(self.name, positive=True)


@dataclass(frozen=True)
class Series:
    """A curve of the plot: a line's name, and what the legend calls it."""

    line: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The first whole value of the plot's input at which line `a` reaches line `b`, and
    how to say so.

    `found` may name `{x}` and every line and input; `never` is said where there is none
    in the plot's range, `always` where `a` is not below `b` at its beginning.
    """

    a: str
    b: str
    label: str
    found: str
    never: str
    always: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One of several to choose among: the line that is to be least, the input that has
    to keep the limit.

    `inputs` are its own numbers.
    """

    name: str
    value: str
    kept: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The options, the input that is their `limit`, and the line of the tie of each two
    (by "1 2").

    `words` say it: of an option that `wins`, is `out` by the limit, `ties` with the
    winner {at} a price or `never` does; of the plot, that {name} wins up to {at}
    (`first`), up to the next (`then`), above (`last`), `always`, or that `none` does.
    """

    options: tuple[Option, ...]
    limit: str
    ties: Mapping[str, str]
    words: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The answer against the input that matters, from `low` to `high` of it, both axes
    by powers.

    With `over`, the name of one of the series' lines, each is drawn divided by that
    one, on a plain axis: curves that are nearly equal then show where they cross. The
    point is the answer, or the first curve where the answer has another unit; `point`
    names its line where neither is meant.
    """

    x: str
    low: float
    high: float
    series: tuple[Series, ...]
    caption: str
    crossing: Crossing | None = None
    over: str = ""
    point: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence that states the result, said where line `a` is above line `b` (always,
    without the two).
    """

    text: str
    a: str = ""
    b: str = ""


def all_of_them(spec: ModelSpec) -> bool:
    """Every model can be chosen."""
    return True


@dataclass(frozen=True, kw_only=True, eq=False)  # one is itself: a key of `_lines`
class Calculator:
    """A calculator, and everything that the page needs to know of it.

    `lines` gives the formula: from a model's structure (None where `model` is empty)
    and the inputs' symbols. `by_function` gives the answer by calling the library with
    numbers, and with what the devices split as "split": what the page's tables and the
    tests hold the formula to. `model` and `machine` name the presets it starts with,
    `defaults` overrides an input's own. `splits` are the ways in which several devices
    may share the model (`costs.devices.SPLITS`), the first to begin with. The
    first of `findings` that applies is the answer's sentence. `worked` are settings
    whose answers the page prints. A calculator with a `choice` answers with the least
    of its options, names it as {winner}, and marks in its plot where another one wins.
    `offers` says which published models can be chosen; all of them when left out.
    """

    name: str
    title: str
    question: str
    inputs: tuple[str, ...]
    lines: Callable[[SymbolicModel | None, Symbols], tuple[Line, ...]]
    by_function: Callable[[ModelSpec | None, Mapping[str, float]], float]
    answer: str
    plot: Plot
    findings: tuple[Finding, ...]
    model: str = ""
    machine: str = ""
    splits: tuple[str, ...] = ("",)
    defaults: Mapping[str, float] = field(default_factory=dict)
    worked: tuple[Mapping[str, float | str], ...] = ()
    choice: Choice | None = None
    offers: Callable[[ModelSpec], bool] = all_of_them

    def entries(self) -> tuple[Input, ...]:
        """Return the inputs that are not a model's."""
        return tuple(map(find_input, self.inputs))

    def formula(self, model: SymbolicModel | None) -> tuple[Line, ...]:
        """Return the lines for a model's structure."""
        return _lines(self, model)


@cache
def _lines(calculator: Calculator, model: SymbolicModel | None) -> tuple[Line, ...]:
    symbols = {entry.name: entry.symbol for entry in calculator.entries()}
    return calculator.lines(model, symbols)


@cache
def used_inputs(
    calculator: Calculator, model: SymbolicModel | None
) -> tuple[Input, ...]:
    """Return what can be entered: the calculator's inputs, and those of the model that
    its formula holds.
    """
    names = {
        symbol.name
        for line in calculator.formula(model)
        for symbol in line.value.free_symbols
    }
    own = [entry for entry in (model.inputs if model else ()) if entry.name in names]
    return (*calculator.entries(), *sorted(own, key=lambda entry: _rank(entry.name)))


def _rank(name: str) -> tuple[int, str]:
    """Order inputs as the table does; numbered ones and counts of layers stand beside
    their first.
    """
    names = list(INPUTS)
    base = next(
        (known for known in (name, name.rpartition("_")[0]) if known in names), "layers"
    )
    return names.index(base), name


def letters(calculator: Calculator, model: SymbolicModel | None) -> dict[str, str]:
    """Return the LaTeX of every symbol of a formula, in the order in which factors are
    to stand.
    """
    entries = sorted(
        used_inputs(calculator, model), key=lambda entry: _rank(entry.name)
    )
    found = {entry.name: entry.letter for entry in entries}
    for line in calculator.formula(model):
        if line.along is not None:
            found[line.along.name] = line.along.name
        found[line.name] = line.letter
    return found


def spelled_out(lines: tuple[Line, ...]) -> list[tuple[str, sympy.Expr]]:
    """Return the lines which depend on inputs and earlier lines alone; those along a
    symbol are put in.
    """
    along: dict[sympy.Symbol, sympy.Expr] = {}
    plain = []
    for line in lines:
        value = line.value.xreplace(along)
        if line.along is None:
            plain.append((line.name, value))
        else:
            along[line.symbol] = value
    return plain
