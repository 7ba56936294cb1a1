"""What the page loads: every calculator as data, and its formulas as JavaScript
functions.

Models of one structure share a function. Two structures that a formula does not tell
apart (a bias that no byte of the cache depends on) are one for that calculator.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from course_lib.costs.hardware import ARITHMETIC
from course_lib.course.calculators.attention import ATTENTION_SHARE, SCORE_MATRIX
from course_lib.course.calculators.choice import OBJECTIVE
from course_lib.course.calculators.concurrency import CONCURRENCY
from course_lib.course.calculators.definition import (
    Calculator,
    letters,
    spelled_out,
    used_inputs,
)
from course_lib.course.calculators.events import EVENTS_AGAINST_MACS
from course_lib.course.calculators.expert_costs import EXPERT_ALL_TO_ALL, MEMORY_PRICE
from course_lib.course.calculators.experts import (
    ACTIVE_PARAMETERS,
    EXPERT_CAPACITY,
    EXPERTS_TOUCHED,
)
from course_lib.course.calculators.hybrids import HYBRID_CACHE
from course_lib.course.calculators.inputs import Input
from course_lib.course.calculators.memory import KV_BUDGET
from course_lib.course.calculators.presets import (
    list_machines,
    list_models,
    machine_peaks,
    machine_values,
    multiplied_bits,
    offered,
    own_bits,
    structure,
)
from course_lib.course.calculators.printing import function_body, latex, shortest
from course_lib.course.calculators.replicas import EXPERT_REPLICAS
from course_lib.course.calculators.request import REQUEST
from course_lib.course.calculators.searching import SEARCH_COST
from course_lib.course.calculators.seconds import DECODE_STEP
from course_lib.course.calculators.states import MEMORY_HORIZON, STATE_OR_CACHE
from course_lib.course.calculators.symbolic import BORROWING, symbolic_model
from course_lib.specs.loader import load_spec

CALCULATORS: Mapping[str, Calculator] = {
    calculator.name: calculator
    for calculator in (
        OBJECTIVE,
        KV_BUDGET,
        CONCURRENCY,
        DECODE_STEP,
        REQUEST,
        SCORE_MATRIX,
        ATTENTION_SHARE,
        ACTIVE_PARAMETERS,
        EXPERT_CAPACITY,
        EXPERTS_TOUCHED,
        EXPERT_REPLICAS,
        EXPERT_ALL_TO_ALL,
        MEMORY_PRICE,
        STATE_OR_CACHE,
        MEMORY_HORIZON,
        HYBRID_CACHE,
        EVENTS_AGAINST_MACS,
        SEARCH_COST,
    )
}
GREEK = {
    r"\alpha": "α",
    r"\beta": "β",
    r"\Pi": "Π",
    r"\rho": "ρ",
    r"\Delta": "Δ",
    r"\lambda": "λ",
    r"\sigma": "σ",
    r"\delta": "δ",
    r"\ell": "ℓ",
}


@dataclass(frozen=True)
class Variant:
    """A formula of a calculator: its models, what is entered, its rules, its function,
    its LaTeX.

    `split` is what devices split where the calculator asks for it. `rules`:
    ("multiple", a, b), a is a multiple of b; ("divides", a, b), one of the two divides
    the other; ("at most", a, b); ("some", a, b, ...), not all zero.
    """

    models: tuple[str, ...]
    split: str
    inputs: tuple[Input, ...]
    rules: tuple[tuple[str, ...], ...]
    function: str
    formula: str


@cache
def variants(name: str) -> tuple[Variant, ...]:
    """Return the formulas of a calculator by its name, one for each structure that it
    tells apart.

    The one of the calculator's own model stands first.
    """
    calculator = CALCULATORS[name]
    alike: dict[tuple[str, str], list[str]] = {}
    models = offered(calculator) if calculator.model else ("",)
    for split in calculator.splits:
        for model in models:
            lines = calculator.formula(structure(model, split))
            traced = str([(line.name, line.value) for line in lines])
            alike.setdefault((split, traced), []).append(model)
    return tuple(
        variant_of(calculator, tuple(models), split)
        for (split, _), models in alike.items()
    )


def variant_of(calculator: Calculator, models: tuple[str, ...], split: str) -> Variant:
    """Return the formula of a calculator for models that share it ("" stands for
    none), and for devices that split that.
    """
    model = structure(models[0], split)
    inputs, lines = used_inputs(calculator, model), calculator.formula(model)
    marks = letters(calculator, model)
    short = {line.name: replace(line, value=shortest(line.value)) for line in lines}
    printed = [line for line in short.values() if line.printed]
    rows = [rf"{line.letter} &= {latex(line.value, marks)}" for line in printed]
    return Variant(
        models=models,
        split=split,
        inputs=inputs,
        rules=rules_of({entry.name for entry in inputs}, split),
        function=function_body(
            spelled_out(tuple(short.values())), [entry.name for entry in inputs]
        ),
        formula=r"\begin{aligned} " + r" \\ ".join(rows) + r" \end{aligned}",
    )


def rules_of(names: Iterable[str], split: str = "") -> tuple[tuple[str, ...], ...]:
    """Return what the records of `specs`, and devices that split heads, demand of
    numbers that go together.

    >>> rules_of({"heads", "kv_heads", "width"})
    (('multiple', 'heads', 'kv_heads'),)
    >>> rules_of({"devices", "kv_heads"}, "heads")
    (('divides', 'devices', 'kv_heads'),)
    """
    names = set(names)
    pairs = [
        ("multiple", "heads", "kv_heads"),
        ("multiple", "state_heads", "state_groups"),
        ("at most", "top_k", "experts"),
        ("at most", "top_nodes", "nodes"),
        ("at most", "active_params", "total_params"),
        ("at most", "kept_designs", "designs"),
    ]
    rules = [rule for rule in pairs if {*rule[1:]} <= names]
    if split == "heads" and "devices" in names:
        groups = sorted(name for name in names if name.startswith("kv_heads"))
        rules += [("divides", "devices", name) for name in groups]
    counts = tuple(sorted(filter(_holds_its_own, names)))
    return (*rules, *([("some", *counts)] if counts else []))


def _holds_its_own(name: str) -> bool:
    """Whether this counts layers that borrow no keys: there has to be one."""
    head, *tags = name.split("_")
    return head == "layers" and bool(tags) and BORROWING.isdisjoint(tags)


def mark(letter: str) -> list[str]:
    r"""Return a letter of LaTeX as text and its subscript.

    >>> mark(r"n_{\text{in}}"), mark("B"), mark(r"\beta"), mark("{d_k}'")
    (['n', 'in'], ['B', ''], ['β', ''], ['d', "k'"])
    """
    plain = (
        re.sub(r"\\(?:text|mathrm)|[{}]", "", letter)
        .replace(r"\,", " ")
        .replace(r"\max", "max")
    )
    base, _, small = plain.partition("_")
    return [GREEK.get(base, base), GREEK.get(small, small)]


def page_data(names: Iterable[str] = tuple(CALCULATORS)) -> dict[str, Any]:
    """Return calculators as data; their functions come beside it, see `script`."""
    chosen = {name: CALCULATORS[name] for name in names}
    all_variants = {name: variants(name) for name in chosen}
    entries = {
        entry.name: {
            **asdict(entry),
            "letter": mark(entry.letter),
            "allowed": entry.allowed(),
        }
        for found in all_variants.values()
        for variant in found
        for entry in variant.inputs
    }
    return {
        "inputs": entries,
        "models": {
            name: {
                "family": load_spec(name).family,
                "context": load_spec(name).context,
                "bits": own_bits(name),
                "multiplied_bits": multiplied_bits(name, own_bits(name)),
                "values": dict(symbolic_model(name).values),
            }
            for name in list_models()
        },
        "machines": {name: machine_values(name) for name in list_machines()},
        "peaks": {name: machine_peaks(name) for name in list_machines()},
        "arithmetic": dict(ARITHMETIC),
        "calculators": {
            name: _described(calculator, all_variants[name])
            for name, calculator in chosen.items()
        },
    }


def _described(calculator: Calculator, found: tuple[Variant, ...]) -> dict[str, Any]:
    lines = calculator.formula(structure(calculator.model))
    return {
        "title": calculator.title,
        "model": calculator.model,
        "machine": calculator.machine,
        "splits": calculator.splits,
        "arithmetic": "peak_flops" in calculator.inputs,
        "defaults": dict(calculator.defaults),
        "answer": calculator.answer,
        "lines": [
            {
                "name": line.name,
                "label": line.label,
                "unit": line.unit,
                "none": line.may_be_none,
            }
            for line in lines
            if line.along is None
        ],
        "plot": asdict(calculator.plot),
        "choice": asdict(calculator.choice) if calculator.choice else None,
        "findings": [asdict(finding) for finding in calculator.findings],
        "variants": [
            {
                "models": variant.models,
                "split": variant.split,
                "inputs": [entry.name for entry in variant.inputs],
                "rules": variant.rules,
                "formula": variant.formula,
            }
            for variant in found
        ],
    }


def script(names: Iterable[str] = tuple(CALCULATORS)) -> str:
    """Return the JavaScript file that a page with calculators loads: the data, then the
    functions.

    The functions call those of `calculator-maths.js`, which has to stand before it.
    """
    names = tuple(names)
    data = json.dumps(
        page_data(names), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    functions = [
        f"  functions[{json.dumps(name)}] = [\n"
        + "".join(f"    {variant.function},\n" for variant in variants(name))
        + "  ];\n"
        for name in names
    ]
    return (
        "/* Made by course_lib.course.calculators.emit from the functions of "
        "course_lib.costs. */\n(() => {\n"
        '  "use strict";\n  const {expectedExcess, expectedLargest, floorDivide, '
        "leastWithin, roundUp, sumOfSteps, zipfHottest, zipfReplicas} = "
        "globalThis.calculatorMaths;\n"
        f"  const data = {data};\n  const functions = {{}};\n{''.join(functions)}"
        "  globalThis.calculatorData = {...data, functions};\n})();\n"
    )
