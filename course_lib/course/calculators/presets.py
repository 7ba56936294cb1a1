"""What a calculator starts from: published models and machines, and the settings that a
worked line names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from course_lib.costs.hardware import list_hardware, load_hardware
from course_lib.course.calculators.definition import Calculator, used_inputs
from course_lib.course.calculators.filled import filled
from course_lib.course.calculators.symbolic import SymbolicModel, symbolic_model
from course_lib.kit.units import (
    bytes_text,
    count_text,
    seconds_text,
    share_text,
    usd_text,
)
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import ModelSpec

TEXT = {
    "bytes": bytes_text,
    "seconds": seconds_text,
    "count": count_text,
    "share": share_text,
    "USD": usd_text,
}
MACHINE = {
    "memory_bytes": "memory_bytes",
    "bandwidth": "bandwidth_bytes_per_s",
    "peak_flops": "peak_flops",
}


@cache
def list_models() -> tuple[str, ...]:
    """Names of the models that calculators offer: language models that are one stack of
    layers.

    >>> tuple(name in list_models() for name in ("llama-3-8b", "t5-base", "bert-base"))
    (True, False, False)
    """
    specs = [load_spec(name) for name in list_specs()]
    return tuple(
        spec.name
        for spec in specs
        if spec.head == "lm"
        and not spec.encoder
        and spec.vision is None
        and spec.patches is None
    )


def machine_values(name: str) -> dict[str, float]:
    """Return what a machine enters, in the units of the page (GB, GB/s, TFLOP/s).

    >>> machine_values("H100-SXM")
    {'memory_bytes': 80.0, 'bandwidth': 3350.0, 'peak_flops': 989.4}
    """
    device = load_hardware(name)
    units = {"memory_bytes": 1e9, "bandwidth": 1e9, "peak_flops": 1e12}
    return {
        entry: round(getattr(device, field) / units[entry], 6)
        for entry, field in MACHINE.items()
    }


@dataclass(frozen=True)
class Setting:
    """Everything entered: names of the presets, and `values` in the units of the
    page.
    """

    model: str
    machine: str
    values: Mapping[str, float]


def setting(
    calculator: Calculator, changed: Mapping[str, float | str] | None = None
) -> Setting:
    """Return what a calculator starts with, with `changed` entered on top.

    Args: `changed` values by the name of their input; "model" and "machine" choose
        presets.
    Raises: ValueError if a name is not among the calculator's inputs, or a value is not
        allowed.
    """
    changed = dict(changed or {})
    model, machine = (
        changed.pop("model", calculator.model),
        changed.pop("machine", calculator.machine),
    )
    inputs = {entry.name: entry for entry in used_inputs(calculator, structure(model))}
    values = {
        name: entry.default
        for name, entry in inputs.items()
        if entry.default is not None
    }
    if model:
        values |= symbolic_model(model).values
    if machine:
        values |= machine_values(machine)
    values = {name: value for name, value in values.items() if name in inputs} | dict(
        calculator.defaults
    )
    for name, value in changed.items():
        if name not in inputs:
            raise ValueError(f"name={name!r}: one of {', '.join(inputs)} is allowed")
        inputs[name].check(value)
    return Setting(model, machine, values | changed)


def structure(model: str) -> SymbolicModel | None:
    """Return the structure of a published model; None where no model is named."""
    return symbolic_model(model) if model else None


def list_machines() -> tuple[str, ...]:
    """Names of the machines that calculators offer."""
    return list_hardware()


def in_formula_units(
    calculator: Calculator, model: str, values: Mapping[str, float]
) -> dict[str, float]:
    """Return entered values as the formula takes them: a memory in GB becomes bytes."""
    factors = {
        entry.name: entry.factor for entry in used_inputs(calculator, structure(model))
    }
    return {name: value * factors[name] for name, value in values.items()}


def answer_by_function(calculator: Calculator, entered: Setting) -> float:
    """Return the answer by calling the library with the entered numbers.

    >>> from course_lib.course.calculators.memory import KV_BUDGET
    >>> answer_by_function(KV_BUDGET, setting(KV_BUDGET, {"tokens": 131072})) / 2**30
    40.0
    """
    spec = spec_of(entered.model, entered.values)
    return calculator.by_function(
        spec, in_formula_units(calculator, entered.model, entered.values)
    )


def answer_text(calculator: Calculator, entered: Setting) -> str:
    """Return the answer of `answer_by_function` with its unit, for a reader.

    >>> from course_lib.course.calculators.memory import KV_BUDGET
    >>> answer_text(KV_BUDGET, setting(KV_BUDGET, {"tokens": 131072}))
    '40 GiB'
    """
    lines = {line.name: line for line in calculator.formula(structure(entered.model))}
    return TEXT[lines[calculator.answer].unit](answer_by_function(calculator, entered))


def spec_of(name: str, entered: Mapping[str, float]) -> ModelSpec | None:
    """Return the model with the entered numbers in it; None where no model is named.

    A number that the formula does not hold is not asked for. It is the model's own,
    unless that does not go
    with what was entered: then there are as many query heads as KV heads, and a token
        visits every expert.
    """
    if not name:
        return None
    model = symbolic_model(name)
    values = {**model.values, **entered}
    if "heads" not in entered and "kv_heads" in entered:
        values["heads"] = values["kv_heads"]
    if "top_k" not in entered and "experts" in entered:
        values["top_k"] = values["experts"]
    return filled(model.spec, values)
