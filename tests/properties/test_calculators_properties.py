"""Whatever a reader types, a calculator gives a finite answer or says what is allowed."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.course.calculators.emit import CALCULATORS, Variant, script, variants
from course_lib.course.calculators.inputs import Input
from course_lib.course.calculators.presets import Setting, answer_by_function, offered
from tests.javascript import CALCULATOR, run, static

SCRIPTS = (static("calculator-maths.js"), script(), *map(static, CALCULATOR))
TYPED = st.one_of(
    st.text(max_size=8),
    st.integers(-5, 10**9).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(
        ["", "-0", "1e309", "NaN", "Infinity", "0x10", "1,000", "32K", "1 000", "½", "1e-320", "٣"]
    ),
)


def whole_or_not(entry: Input, value: float) -> float:
    """Return a value of the page, in the unit of the page, as the library takes it."""
    return round(value) if entry.whole else value / entry.factor


def chosen(name: str, model: str, split: str) -> Variant:
    """Return the formula of a calculator for a model and for what devices split."""
    return next(variant for variant in variants(name) if model in variant.models and variant.split == split)


@st.composite
def typed(draw):
    """A calculator, a model, what devices split, and text typed into some of its inputs."""
    name = draw(st.sampled_from(sorted(CALCULATORS)))
    model = draw(st.sampled_from(offered(CALCULATORS[name]))) if CALCULATORS[name].model else ""
    split = draw(st.sampled_from(CALCULATORS[name].splits))
    names = [entry.name for entry in chosen(name, model, split).inputs]
    return name, model, split, draw(st.dictionaries(st.sampled_from(names), TYPED, max_size=6))


# One call of node for a hundred settings: starting it takes longer than all of them.
@settings(max_examples=15)
@given(st.lists(typed(), min_size=100, max_size=100))
def test_an_answer_is_finite_or_the_message_names_the_input(cases):
    body = """return data.map(([name, model, split, entered]) => {
        const made = new globalThis.calculatorCore.Calculation(name);
        if (model) made.choose("model", model);
        if (split) made.choose("split", split);
        Object.assign(made.entered, entered);
        const problems = made.problems();
        if (Object.keys(problems).length) return { problems };
        const results = made.results();
        const says = [made.finding(results), made.marks(results).text, ...made.facts(results).flat()];
        const known = made.about.lines.filter((line) => !line.none).map((line) => line.name);
        const drawn = (_, at) => known.includes(made.about.plot.series[at].line);
        const points = made.curve(1024, 65536, false, 8).filter(drawn).flat();
        const lines = known.map((name) => results[name]);
        const numbers = [...lines, ...points.flat()];
        return { values: made.values(), says, finite: numbers.every(Number.isFinite) };
    });"""
    for (name, model, split, entered), found in zip(cases, run(body, cases, *SCRIPTS), strict=True):
        if "problems" in found:
            assert all(
                message.endswith(("is allowed.", "is needed.")) for message in found["problems"].values()
            )
            variant = chosen(name, model, split)
            linked = {first for _, first, *_ in variant.rules}
            assert set(found["problems"]) <= set(entered) | linked
        else:
            assert found["finite"]
            assert not any(
                word in json.dumps(found["says"]) for word in ("NaN", "Infinity", "undefined", "{")
            )
            entries = chosen(name, model, split).inputs
            numbers = {entry.name: whole_or_not(entry, found["values"][entry.name]) for entry in entries}
            assert answer_by_function(CALCULATORS[name], Setting(model, "", numbers, split)) >= 0
