"""What the page's reader of a config.json loads: the library's parsers and costs, and
published configs.
"""

import json

import sympy

from course_lib.costs.cache import cache_bytes_per_token
from course_lib.costs.flops import flops_per_token
from course_lib.costs.params import param_count
from course_lib.course.calculators.inputs import INPUTS
from course_lib.course.calculators.printing import latex, shortest
from course_lib.course.calculators.symbolic import symbolic_model
from course_lib.course.calculators.translate import imported, translated
from course_lib.course.calculators.vocabulary import BUILTINS
from course_lib.specs.from_hf import QUANTISED
from course_lib.specs.loader import list_specs, read_entry

ROOTS = ("course_lib.specs.from_hf", "course_lib.costs.summary")
"""The two modules that the page calls; what these import is translated before them."""
LEFT_OUT = (
    "FrozenMapping",
    "spec_from_hf_config",
    "_read",
    "is_symbol",
    "smaller",
    "larger",
    "logarithm",
    "round_up",
    "square_root",
)
"""What reads files or symbols, and what `py` has in its own way."""


def published() -> dict[str, dict]:
    """The configs of the published models, by name, with the quantisation that a
    model's entry names beside its config.
    """
    configs = {}
    for name in list_specs():
        entry = read_entry(name)
        stored = {QUANTISED: entry[QUANTISED]} if QUANTISED in entry else {}
        configs[name] = entry["config"] | stored
    return configs


def formula(name: str) -> str:
    """Return a model's counts as LaTeX: parameters, FLOPs of a decoded token, bytes of
    cache a token.

    The functions of `costs` are called with the model's structure; the numbers are left
    as letters.
    """
    model, letters = (
        symbolic_model(name),
        {entry.name: entry.letter for entry in INPUTS.values()},
    )
    tokens, width = INPUTS["tokens"].symbol, INPUTS["bytes_per_element"].symbol
    rows = (
        (r"P", param_count(model.spec).total),
        (r"\text{FLOPs}", flops_per_token(model.spec, tokens)),
        (r"\text{cache}", cache_bytes_per_token(model.spec, bytes_per_element=width)),
    )
    lines = (
        rf"{letter} &= {latex(shortest(sympy.expand(value)), letters)}"
        for letter, value in rows
    )
    return r"\begin{aligned} " + r" \\ ".join(lines) + r" \end{aligned}"


def script() -> str:
    """Return the JavaScript file: `calculatorConfig` with `spec`, `summary`, `Config`,
    `models`.
    """
    models = {
        name: json.dumps(config, indent=2, allow_nan=False)
        for name, config in published().items()
    }
    return (
        "/* Made by course_lib.course.calculators.config from course_lib.specs and "
        "course_lib.costs. */\n"
        "globalThis.calculatorConfig = (() => {\n"
        '"use strict";\nconst py = globalThis.calculatorPython;\n'
        f"const {{ {', '.join(sorted(BUILTINS))} }} = py.builtins;\n"
        f"const modules = {{}};\n{translated(imported(ROOTS), LEFT_OUT)}"
        'const { Config } = modules["course_lib.specs.reader"];\n'
        'const { spec_from_fields: spec } = modules["course_lib.specs.from_hf"];\n'
        'const { too_long: tooLong } = modules["course_lib.specs.documents"];\n'
        'const { summary } = modules["course_lib.costs.summary"];\n'
        f"const models = {json.dumps(models)};\n"
        "return { Config, spec, summary, tooLong, models };\n})();\n"
    )
