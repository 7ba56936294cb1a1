"""What a calculator starts from: published models and machines, and the settings that a
worked line names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from course_lib.costs.hardware import (
    fastest_arithmetic,
    list_hardware,
    load_hardware,
)
from course_lib.costs.stored import bits_per_weight, fewest_bits
from course_lib.course.calculators.definition import Calculator, used_inputs
from course_lib.course.calculators.filled import filled
from course_lib.course.calculators.symbolic import SymbolicModel, symbolic_model
from course_lib.kit.units import (
    billions_text,
    bytes_text,
    count_text,
    seconds_text,
    share_text,
    short_text,
    usd_text,
)
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import AttentionSpec, ModelSpec

TEXT = {
    "bytes": bytes_text,
    "seconds": seconds_text,
    "count": count_text,
    "number": short_text,
    "weights": billions_text,
    "share": share_text,
    "USD": usd_text,
}
MACHINE = {
    "memory_bytes": "memory_bytes",
    "bandwidth": "bandwidth_bytes_per_s",
    "peak_flops": "peak_flops",
}


def _one_kind_of_heads(spec: ModelSpec) -> bool:
    mixers = (layer.mixer for layer in spec.layers)
    heads = {(m.heads, m.kv_heads) for m in mixers if isinstance(m, AttentionSpec)}
    return len(heads) <= 1


@cache
def list_models() -> tuple[str, ...]:
    """Names of the models that calculators offer: language models that are one stack of
    layers, all with the same counts of heads, for which there is one control.

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
        and _one_kind_of_heads(spec)
    )


@cache
def offered(calculator: Calculator) -> tuple[str, ...]:
    """Names of the models that a calculator offers, its own first.

    >>> from course_lib.course.calculators.memory import KV_BUDGET
    >>> offered(KV_BUDGET)[0], len(offered(KV_BUDGET)) == len(list_models())
    ('llama-3.1-70b', True)
    """
    names = (name for name in list_models() if calculator.offers(load_spec(name)))
    return calculator.model, *(name for name in names if name != calculator.model)


FASTEST = ""
"""The arithmetic that is not chosen: the fastest at the weights' bits."""


def machine_values(
    name: str, arithmetic: str = "16-bit", bits: float = 16
) -> dict[str, float]:
    """Return what a machine enters, in the units of the page (GB, GB/s, TFLOP/s).

    Args: `arithmetic` that is done; `FASTEST` chooses by the `bits` of a weight.
    Raises: ValueError if the machine has no peak of that arithmetic.

    >>> machine_values("H100-SXM")
    {'memory_bytes': 80.0, 'bandwidth': 3350.0, 'peak_flops': 989.4}
    >>> machine_values("B200", FASTEST, bits=4.5)["peak_flops"]
    9000.0
    """
    device = load_hardware(name)
    device = device.computing(arithmetic or fastest_arithmetic(device, bits / 8))
    units = {"memory_bytes": 1e9, "bandwidth": 1e9, "peak_flops": 1e12}
    return {
        entry: round(getattr(device, field) / units[entry], 6)
        for entry, field in MACHINE.items()
    }


@cache
def own_bits(model: str) -> float:
    """Return the bits of a weight of a published model on average: those of its own
    file, 16 where that is not quantised.

    >>> own_bits("llama-3-8b"), own_bits("gpt-oss-120b")
    (16.0, 4.468)
    """
    return round(bits_per_weight(load_spec(model)), 3)


def multiplied_bits(model: str, bits: float) -> float:
    """Return the bits in which weights may be multiplied: those entered, or the fewest
    of the model's own file where what is entered is its average.

    >>> multiplied_bits("gpt-oss-20b", 5.264), multiplied_bits("gpt-oss-20b", 8)
    (4.25, 8)
    """
    own = model and bits == own_bits(model)
    return fewest_bits(load_spec(model)) if own else bits


def machine_peaks(name: str) -> dict[str, float]:
    """Return a machine's peaks in TFLOP/s by the name of the arithmetic.

    >>> machine_peaks("A100-80GB-SXM")
    {'16-bit': 312.0, 'INT8': 624.0}
    """
    peaks = load_hardware(name).all_peaks()
    return {each: round(peak / 1e12, 6) for each, peak in peaks.items()}


@dataclass(frozen=True)
class Setting:
    """Everything entered: names of the presets, `values` in the units of the page, and
    what several devices split.
    """

    model: str
    machine: str
    values: Mapping[str, float]
    split: str = ""


def setting(
    calculator: Calculator, changed: Mapping[str, float | str] | None = None
) -> Setting:
    """Return what a calculator starts with, with `changed` entered on top.

    Args: `changed` values by the name of their input; "model", "machine", "split" and
        "arithmetic" choose presets.
    Raises: ValueError if a name is not among the calculator's inputs, or a value is not
        allowed.
    """
    changed = dict(changed or {})
    model, machine = (
        changed.pop("model", calculator.model),
        changed.pop("machine", calculator.machine),
    )
    split = changed.pop("split", calculator.splits[0])
    if split not in calculator.splits:
        allowed = ", ".join(calculator.splits)
        raise ValueError(f"split={split!r}: one of {allowed} is allowed")
    arithmetic = changed.pop("arithmetic", FASTEST)
    shape = structure(model, split)
    inputs = {entry.name: entry for entry in used_inputs(calculator, shape)}
    values = {
        name: entry.default
        for name, entry in inputs.items()
        if entry.default is not None
    }
    if model:
        values |= symbolic_model(model).values | {"bytes_per_weight": own_bits(model)}
    if machine:
        chosen = values | dict(calculator.defaults) | changed
        bits = chosen.get("bytes_per_weight", 16)
        values |= machine_values(machine, arithmetic, multiplied_bits(model, bits))
    values = {name: value for name, value in values.items() if name in inputs} | dict(
        calculator.defaults
    )
    for name, value in changed.items():
        if name not in inputs:
            raise ValueError(f"name={name!r}: one of {', '.join(inputs)} is allowed")
        inputs[name].check(value)
    return Setting(model, machine, values | changed, split)


def structure(model: str, split: str = "") -> SymbolicModel | None:
    """Return the structure of a published model, served by devices that split that;
    None where no model is named.
    """
    return symbolic_model(model, split or "heads") if model else None


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
    values = in_formula_units(calculator, entered.model, entered.values)
    return calculator.by_function(spec, values | {"split": entered.split or "heads"})


def answer_text(calculator: Calculator, entered: Setting) -> str:
    """Return the answer of `answer_by_function` with its unit, for a reader.

    >>> from course_lib.course.calculators.memory import KV_BUDGET
    >>> answer_text(KV_BUDGET, setting(KV_BUDGET, {"tokens": 131072}))
    '40 GiB'
    """
    shape = structure(entered.model, entered.split)
    lines = {line.name: line for line in calculator.formula(shape)}
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
