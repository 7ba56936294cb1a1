"""The `{calculator}` directive: a calculator of `course_lib.course.calculators` on a
page.

    ```{calculator} kv-budget
    ```
    ```{calculators}          every calculator
    ```

The page holds the formula, traced from the library, and answers that the library gave
for a few settings; a reader without JavaScript has these. A script builds the inputs,
the answer and the plot around them. The formulas' own JavaScript is written into a
static file when the build begins, and only pages with a calculator load it.
"""

from pathlib import Path

from docutils import nodes
from elements import element, html, needs, table
from sphinx.util.docutils import SphinxDirective

from course_lib.course.calculators.choice import name_winner
from course_lib.course.calculators.definition import Calculator, used_inputs
from course_lib.course.calculators.emit import CALCULATORS, script, variants
from course_lib.course.calculators.inputs import Input
from course_lib.course.calculators.presets import answer_text, setting, structure

SCRIPTS = (
    "calculator-maths.js",
    "calculator-data.js",
    "calculator-words.js",
    "calculator-choice.js",
    "calculator-core.js",
    "calculator-form.js",
    "calculator-plot.js",
    "calculator-picture.js",
    "calculator.js",
)


PRESETS = {"model": "Model", "machine": "Device", "split": "Devices split"}
"""Headings of the columns of what is chosen, not entered."""


def varied(calculator: Calculator) -> list[str]:
    """Return what the worked settings of a calculator vary: presets first, then inputs
    in their order.
    """
    names = {name for worked in calculator.worked for name in worked}
    order = ["model", "machine", "split", *calculator.inputs]
    return sorted(names, key=order.index)


def heading(calculator: Calculator, name: str) -> str:
    """Return the heading of a column of worked values."""
    if name in PRESETS:
        return PRESETS[name]
    entry: Input = next(entry for entry in calculator.entries() if entry.name == name)
    return f"{entry.label} ({entry.unit})" if entry.unit else entry.label


def worked_rows(calculator: Calculator) -> list[list[str]]:
    """Return the worked settings as rows: what varies, and the answer."""
    rows = []
    for worked in calculator.worked:
        entered = setting(calculator, worked)
        presets = {name: getattr(entered, name) for name in PRESETS}
        cells = [
            presets.get(name) or f"{entered.values[name]:,}"
            for name in varied(calculator)
        ]
        won = [name_winner(calculator, entered.values)] if calculator.choice else []
        rows.append([*cells, *won, answer_text(calculator, entered)])
    return rows


def fixed(calculator: Calculator) -> str:
    """Return what the worked settings have in common, in words."""
    entered, names = setting(calculator), varied(calculator)
    presets = {"model": entered.model, "machine": entered.machine}
    parts = [value for name, value in presets.items() if value and name not in names]
    if entered.split and "split" not in names:
        parts.append(f"{entered.split} split")
    known = {
        entry.name: entry for entry in used_inputs(calculator, structure(entered.model))
    }
    filled = {"memory_bytes", "bandwidth", "peak_flops"}
    for name in calculator.inputs:
        if (
            name not in names
            and name not in filled
            and known[name].group != "candidates"
        ):
            unit = (
                f" {known[name].unit}"
                if known[name].group in ("prices", "limits", "numbers", "search")
                else ""
            )
            parts.append(f"{known[name].label.lower()} {entered.values[name]:,}{unit}")
    return "; ".join(parts)


class CalculatorDirective(SphinxDirective):
    """One calculator."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        if name not in CALCULATORS:
            raise self.error(
                f"calculator: {name!r} is not there; allowed are "
                f"{', '.join(CALCULATORS)}"
            )
        return [self.calculator(CALCULATORS[name])]

    def calculator(self, calculator: Calculator) -> element:
        if any(
            node["html"].get("name") == calculator.name
            for node in self.state.document.findall(element)
        ):
            raise self.error(
                f"calculator: {calculator.name!r} stands on this page twice"
            )
        maths = variants(calculator.name)[0].formula
        formula = nodes.math_block(
            maths,
            maths,
            nowrap=False,
            number=None,
            label=None,
            docname=self.env.docname,
        )
        won = ["Winner"] if calculator.choice else []
        varying = (heading(calculator, name) for name in varied(calculator))
        head = [*varying, *won, self.answer_label(calculator)]
        shared = fixed(calculator)
        return html(
            "course-calculator",
            html("p", calculator.title, class_="calculator-title"),
            html("p", calculator.question, class_="calculator-question"),
            html(
                "div",
                formula,
                class_="calculator-formula",
                role="group",
                aria_label="Formula",
                tabindex="0",
            ),
            html(
                "details",
                html("summary", "Worked values"),
                *([html("p", f"In all rows: {shared}.")] if shared else []),
                table(head, worked_rows(calculator)),
                class_="calculator-worked",
            ),
            id=calculator.name,
            name=calculator.name,
        )

    def answer_label(self, calculator: Calculator) -> str:
        lines = calculator.formula(structure(calculator.model))
        return next(line.label for line in lines if line.name == calculator.answer)


class Calculators(CalculatorDirective):
    """Every calculator, one after the other."""

    required_arguments = 0

    def run(self):
        return [self.calculator(calculator) for calculator in CALCULATORS.values()]


def write_script(app, config):
    """Write the formulas' JavaScript where Sphinx takes static files from."""
    folder = Path(app.doctreedir) / "calculators"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calculator-data.js").write_text(script(), encoding="utf-8")
    config.html_static_path.append(str(folder))


def setup(app):
    """Register the directives, and what their pages load."""
    app.setup_extension("elements")
    app.add_directive("calculator", CalculatorDirective)
    app.add_directive("calculators", Calculators)
    app.connect("config-inited", write_script)
    load = needs("course-calculator", ["calculator.css"], SCRIPTS, 600)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True}
