"""Calculators: traced formulas against the library, in Python and in JavaScript; and what they refuse."""

import json
import math
import random

import pytest
import sympy

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import list_hardware, load_hardware
from course_lib.costs.params import param_count
from course_lib.costs.roofline import decode_roofline, prefill_roofline
from course_lib.costs.search_cost import expected_largest, luck
from course_lib.costs.serving import equal_context
from course_lib.costs.spikes import neuron_operations, synaptic_operations
from course_lib.costs.state_or_cache import crossover_tokens
from course_lib.course.calculators.definition import UNITS, letters, used_inputs
from course_lib.course.calculators.emit import CALCULATORS, script, variants
from course_lib.course.calculators.filled import filled
from course_lib.course.calculators.presets import (
    Setting,
    answer_by_function,
    in_formula_units,
    list_models,
    machine_values,
    offered,
    setting,
    structure,
)
from course_lib.course.calculators.symbolic import symbolic, symbolic_model
from course_lib.kit.units import bytes_text, count_text, seconds_text, usd_text
from course_lib.specs.loader import load_spec
from tests.javascript import CALCULATOR, run, static

POINTS = 40
FAR_ENOUGH = {"batch": 512, "tokens": 2**22, "tokens_in": 2**20, "tokens_out": 4096}
MATHS, CORE = static("calculator-maths.js"), "\n".join(map(static, CALCULATOR))
WITH_MODEL = [name for name, calculator in CALCULATORS.items() if calculator.model]


@pytest.fixture(scope="module")
def data():
    """The script that a page loads, with what it needs before it."""
    return MATHS, script(), CORE


@pytest.mark.parametrize("name", list_models())
def test_a_structure_filled_with_the_models_numbers_costs_what_the_model_costs(name):
    spec, model = load_spec(name), symbolic_model(name)
    again = filled(model.spec, model.values)
    assert param_count(again) == param_count(spec)
    for tokens in (1, 900, 200_000):
        assert cache_bytes(again, batch=3, tokens=tokens) == cache_bytes(spec, batch=3, tokens=tokens)
        for device in map(load_hardware, list_hardware()[:2]):
            for batch in (1, 64):
                one = decode_roofline(again, device, batch=batch, context=tokens)
                assert one == decode_roofline(spec, device, batch=batch, context=tokens)
            assert prefill_roofline(again, device, tokens) == prefill_roofline(spec, device, tokens)


def test_what_is_not_one_stack_of_language_layers_is_refused():
    for name in ("t5-base", "bert-base", "clip-vit-l-14", "vit-l-16"):
        with pytest.raises(ValueError, match="one stack of layers is allowed"):
            symbolic(load_spec(name))


def drawn(calculator, variant, model: str, chance: random.Random) -> dict:
    """Return allowed numbers for every input: near the model's own half of the time, anywhere otherwise."""
    chosen = {"model": model, "split": variant.split}
    entered = dict(setting(calculator, {key: value for key, value in chosen.items() if value}).values)
    for entry in variant.inputs:
        if chance.random() < 0.5:
            continue
        low, high = max(entry.least, min(1e-2, entry.most / 1e4)), entry.most
        high = min(high, FAR_ENOUGH.get(entry.name, high))
        value = low * (high / low) ** chance.random()
        entered[entry.name] = max(int(entry.least), int(value)) if entry.whole else min(value, high)
    for rule, first, *others in sorted(variant.rules):  # "at most", "divides", "multiple", "some"
        if rule == "multiple":
            entered[first] = entered[others[0]] * max(1, entered[first] // entered[others[0]])
        if rule == "at most":
            entered[first] = min(entered[first], entered[others[0]])
        if rule == "divides":
            entered[first] = 2 ** int(math.log2(min(entered[first], 2**16)))
            for each in (key for key in entered if key.startswith("kv_heads")):
                entered[each] = 2 ** int(math.log2(entered[each]))
        if rule == "some" and not any(entered[each] for each in (first, *others)):
            entered[first] = 1
    return entered


@pytest.mark.parametrize("name", CALCULATORS)
def test_javascript_gives_what_python_gives(name, data):
    """The answer to 1e-12 of the library's function, on random numbers for every model; counts exactly."""
    calculator, chance, cases, expected = CALCULATORS[name], random.Random(name), [], []
    unit = {line.name: line.unit for line in calculator.formula(structure(calculator.model))}
    for at, variant in enumerate(variants(name)):
        for model in variant.models:
            for _ in range(POINTS):
                entered = drawn(calculator, variant, model, chance)
                values = in_formula_units(calculator, model, entered)
                cases.append([at, values])
                given = Setting(model, calculator.machine, entered, variant.split)
                expected.append(answer_by_function(calculator, given))
    body = f"""const functions = globalThis.calculatorData.functions[{json.dumps(name)}];
        return data.map(([at, values]) => functions[at](values)[{json.dumps(calculator.answer)}]);"""
    found = run(body, cases, *data[:2])
    assert len(found) == len(expected) >= POINTS
    found = [math.inf if js is None else js for js in found]  # JSON has no infinity: no candidate keeps it
    errors = [
        0 if js == py else abs(js - py) / max(abs(py), 1e-300) for js, py in zip(found, expected, strict=True)
    ]
    worst = max(range(len(errors)), key=errors.__getitem__)
    limit = 0 if unit[calculator.answer] == "count" else 1e-12
    assert errors[worst] <= limit, (cases[worst], found[worst], expected[worst], errors[worst])


def test_a_layer_that_borrows_keys_needs_one_that_holds_them():
    gemma = next(variant for variant in variants("kv-budget") if "gemma-4-e2b" in variant.models)
    assert ("some", "layers_attn", "layers_win") in gemma.rules


def test_whole_requests_are_whole_where_division_rounds(data):
    """M / C rounds up to a whole number that the true quotient does not reach."""
    pairs = [(1.0, 0.1), (3 * 0.1, 0.1), (0.7, 0.1), (6.0, 0.2), (-1.0, 0.3), (7.0, 7.0), (1e300, 3e-5)]
    chance = random.Random(0)
    pairs += [(k * c, c) for k in range(1, 60) for c in [chance.uniform(0.1, 9)]]
    found = run("return data.map(([a, b]) => globalThis.calculatorMaths.floorDivide(a, b));", pairs, MATHS)
    assert found == [a // b for a, b in pairs]
    assert any(a // b != math.floor(a / b) for a, b in pairs)


def test_the_sum_of_steps_is_the_sum_of_each_step():
    """By pieces and one by one, on lines with windows and crossings."""
    chance, cases, expected = random.Random(1), [], []
    for _ in range(200):
        p, q = ([chance.uniform(0, 90), chance.uniform(0, 1), chance.uniform(0, 1)] for _ in range(2))
        window, first = chance.randint(1, 400), chance.randint(1, 300)
        last = first + chance.randint(-2, 500)
        cases.append([p, q, first, last, window])
        straight = [[a + b * t + c * min(t, window) for a, b, c in (p, q)] for t in range(first, last + 1)]
        expected.append(math.fsum(map(max, straight)))
    body = """const line = ([a, b, c], window) => (t) => a + b * t + c * Math.min(t, window);
        return data.map(([p, q, first, last, window]) => globalThis.calculatorMaths.sumOfSteps(
            line(p, window), line(q, window), first, last, [window]));"""
    assert run(body, cases, MATHS) == pytest.approx(expected, rel=1e-12)


def test_numbers_read_in_the_page_as_on_the_command_line(data):
    chance = random.Random(2)
    values = [10 ** chance.uniform(-3, 15) for _ in range(500)] + [1, 1.125, 1536, 2**30, 999.5, 0.5]
    found = run(
        """return data.map((v) => ['bytes', 'seconds', 'count', 'USD'].map(
            (unit) => globalThis.calculatorCore.text(v, unit)));""",
        [value if value > 1 else 1 + value for value in values],
        *data,
    )
    wanted = [
        [text(value if value > 1 else 1 + value) for text in (bytes_text, seconds_text, count_text, usd_text)]
        for value in values
    ]
    assert found == wanted


@pytest.mark.parametrize("name", CALCULATORS)
def test_every_symbol_of_a_formula_is_entered_or_a_line_and_has_a_letter(name):
    calculator = CALCULATORS[name]
    for variant in variants(name):
        model = structure(variant.models[0], variant.split)
        marks, seen = letters(calculator, model), set()
        entered = {entry.name for entry in used_inputs(calculator, model)}
        for line in calculator.formula(model):
            along = {line.along.name} if line.along else set()
            names = {symbol.name for symbol in line.value.free_symbols} - along
            assert names <= entered | seen
            assert line.unit in UNITS
            seen.add(line.name)
        assert set(marks) >= entered | seen
        assert not set(variant.formula) & {"_{}"}
        inputs = [marks[entry] for entry in entered]
        assert len(set(inputs)) == len(inputs), "two inputs with one letter"


def test_the_formula_of_the_cache_reads_as_in_the_text():
    whole = [variant for variant in variants("kv-budget") if variant.split == "requests"]
    formulas = {model: variant.formula for variant in whole for model in variant.models}
    assert r"\text{cache} &= 2 \, B \, n \, L \, G \, d_k \, b" in formulas["llama-3-8b"]
    assert r"\left(r + d_R\right)" in formulas["deepseek-v3"]
    assert r"\min\left(n, W - 1\right)" in formulas["gemma-3-27b"]
    assert "n" not in formulas["mamba-2.8b"].replace("aligned", "").replace(r"begin", "").replace(
        "end", ""
    ).replace(r"\text{conv}", "").replace("n_", "")


@pytest.mark.parametrize("name", CALCULATORS)
def test_every_model_starts_with_numbers_that_are_allowed(name, data):
    body = f"""const {{ Calculation }} = globalThis.calculatorCore;
        return data.map((model) => {{
            const made = new Calculation({json.dumps(name)});
            if (model) made.choose("model", model);
            const whole = made.problems();
            if (whole.devices) made.type("devices", "1");
            return [whole, made.problems(), made.results()[made.about.answer]]; }});"""
    calculator = CALCULATORS[name]
    models = offered(calculator) if calculator.model else [""]
    for model, (first, problems, answer) in zip(models, run(body, models, *data), strict=True):
        given = {"model": model} if model else {}
        assert problems == {}
        if first:  # so many devices cannot split these KV heads, here as in the library
            with pytest.raises(ValueError, match="a divisor or a multiple of kv_heads"):
                answer_by_function(calculator, setting(calculator, given))
            given["devices"] = 1
        assert answer == pytest.approx(answer_by_function(calculator, setting(calculator, given)), rel=1e-12)


def test_a_machine_in_the_pages_units_is_the_machine():
    for name in list_hardware():
        device, page = load_hardware(name), machine_values(name)
        assert page["memory_bytes"] * 1e9 == device.memory_bytes
        assert page["bandwidth"] * 1e9 == device.bandwidth_bytes_per_s
        assert page["peak_flops"] * 1e12 == device.peak_flops


def test_the_crossing_is_the_first_whole_context_that_is_beyond(data):
    """For a model that reads all its weights, where the caches outweigh them: `equal_context`."""
    body = """const made = new globalThis.calculatorCore.Calculation("concurrency");
        made.choose("model", data);
        const at = made.crossing(made.results()).at;
        const fits = (tokens) => made.results({ ...made.values(), tokens }).requests;
        return [at, fits(at - 1), fits(at)];"""
    _, before, there = run(body, "llama-3.1-70b", *data)
    assert (before, there) == (1, 0)
    body = """const made = new globalThis.calculatorCore.Calculation("kv-budget");
        made.entered.batch = "4"; made.entered.memory_bytes = String(data);
        return made.crossing(made.results()).at;"""
    spec = load_spec("llama-3.1-70b")
    weights = param_count(spec).total * 2
    assert run(body, weights / 1e9, *data) == pytest.approx(equal_context(spec, 4), abs=1)


def test_worked_settings_are_allowed_and_unknown_names_refused():
    for calculator in CALCULATORS.values():
        for worked in calculator.worked:
            assert answer_by_function(calculator, setting(calculator, worked)) >= 0
    budget = CALCULATORS["kv-budget"]
    with pytest.raises(ValueError, match="name='nothing': one of"):
        setting(budget, {"nothing": 1})
    with pytest.raises(ValueError, match=r"batch=0: a whole number from 1 to 100,000 is allowed"):
        setting(budget, {"batch": 0})
    with pytest.raises(ValueError, match=r"tokens=1\.5"):
        setting(budget, {"tokens": 1.5})


def test_only_a_sum_of_the_larger_of_two_is_printed_as_javascript():
    from course_lib.course.calculators.printing import javascript

    t, n = sympy.symbols("t n", positive=True)
    with pytest.raises(ValueError, match="only a sum of the larger of two"):
        javascript(sympy.Sum(t, (t, 1, n)))
    assert javascript(sympy.Sum(sympy.Max(t, 3 + sympy.Min(t, 7)), (t, 1, n))).endswith(", 1, n, [7])")


def test_formulas_of_experts_read_as_in_the_text():
    capacity, price, replicas, sent = (
        variants(name)[0].formula
        for name in ("expert-capacity", "memory-price", "expert-replicas", "expert-all-to-all")
    )
    assert r"C &= \left\lceil{\frac{n \, c \, K}{E}}\right\rceil" in capacity
    assert (
        r"\mathbb{E}_{X \sim \mathrm{Bin}\left(n, \frac{K}{E}\right)} \max\left(0, X - C\right)" in capacity
    )
    assert r"2 \cdot 10^{9} \, R \, H" in price and r"P_{\text{dense}} - P_{\text{active}}" in price
    assert r"R &= \sum_{i=1}^{E} \left(\left\lceil \frac{h}{t \, i^{s}} \right\rceil - 1\right)" in replicas
    assert r"\min\left(M, N" in sent and r"T &= \max\left(T_N, T_D\right)" in sent


def test_formulas_of_states_read_as_in_the_text_and_stateless_models_are_not_offered():
    held = {model: one.formula for one in variants("state-or-cache") for model in one.models}
    assert r"N_k \, N_v \, H_N \, b_S + n_{\text{conv}} \, b" in held["qwen3.5-35b-a3b"]
    assert r"n^{*} &= \left\lceil{\frac{n \, \text{state}}{\text{cache}}}\right\rceil" in held["mamba-2.8b"]
    assert "llama-3-8b" not in held and set(held) == set(offered(CALCULATORS["state-or-cache"]))
    (horizon,) = variants("memory-horizon")
    assert r"\frac{\log{\left(\varepsilon \right)}}{\log{\left(\alpha \right)}}" in horizon.formula


def test_the_state_and_the_horizon_cross_where_the_library_says(data):
    body = """const made = new globalThis.calculatorCore.Calculation(data);
        return [made.crossing(made.results()).at, Object.keys(made.presets("model")).length];"""
    # equal at 1,056
    assert run(body, "state-or-cache", *data) == [1057, len(offered(CALCULATORS["state-or-cache"]))]
    assert run(body, "memory-horizon", *data)[0] == 693  # half of it is left after 692.8 tokens
    with pytest.raises(ValueError, match="spec='llama-3-8b': allowed is a model with a layer that keeps"):
        crossover_tokens(load_spec("llama-3-8b"), kv_heads=8, head_dim=128)


def test_formulas_of_hybrids_events_and_searches_read_as_in_the_text():
    held = {model: one.formula for one in variants("hybrid-cache") for model in one.models}
    assert r"M_a &= 2 \, B \, n \, L_{\mathrm{attn}} \, G \, d_k \, b" in held["qwen3.5-35b-a3b"]
    assert r"M &= M_a + M_s" in held["jamba-v0.1"] and not {"llama-3-8b", "mamba-2.8b"} & set(held)
    events, searching = (variants(name)[0].formula for name in ("events-against-macs", "search-cost"))
    assert r"\text{events} &= m \, n \, T \, r" in events and r"\max\left(0, \frac" in events
    assert r"\frac{\sigma" in searching and r"\max\left(z_1, \ldots, z_{N}\right)}{\sqrt{k}}" in searching
    assert r"R &= N \, k + K \, k'" in searching
    assert ("at most", "kept_designs", "designs") in variants("search-cost")[0].rules


def test_what_the_exercises_of_chapter_9_compute_is_what_its_calculators_answer():
    def answer(name, **changed):
        return answer_by_function(CALCULATORS[name], setting(CALCULATORS[name], changed))

    assert answer("hybrid-cache") / 2**20 == 5181.875
    assert answer("hybrid-cache", model="jamba-v0.1") / 2**20 == 4111.75
    half = answer("hybrid-cache", layers_attn=5, layers_delta=35)
    assert half / 2**20 == 2632.1875
    assert round(answer("events-against-macs"), 3) == 0.062
    assert round(answer("events-against-macs", mac_cost=5), 2) == 0.31
    assert answer("search-cost", fresh_seeds=0) * 1.5 == pytest.approx(answer("search-cost"))


def test_hybrids_events_and_searches_cross_where_the_library_says(data):
    body = """return data.map(([name, model]) => {
        const made = new globalThis.calculatorCore.Calculation(name);
        if (model) made.choose("model", model);
        return made.crossing(made.results()).at; });"""
    jamba, steps, designs = run(
        body, [["hybrid-cache", "jamba-v0.1"], ["events-against-macs", ""], ["search-cost", ""]], *data
    )
    assert jamba is None  # at 1,008 tokens, before the plot begins
    rate = synaptic_operations(2048, 512, steps, 0.05) + neuron_operations(512, steps)
    assert rate >= 2048 * 512 > rate * (steps - 1) / steps
    assert luck(designs - 1, 0.02) < 0.05 <= luck(designs, 0.02)
    found = run(
        "return data.map((n) => globalThis.calculatorMaths.expectedLargest(n));", [1, 2, 3, 40, 10**6], MATHS
    )
    assert found == pytest.approx(list(map(expected_largest, [1, 2, 3, 40, 10**6])), rel=1e-9, abs=1e-15)


def test_calls_that_a_trace_leaves_do_in_the_page_what_they_do_in_python():
    from course_lib.costs.arithmetic import round_up
    from course_lib.costs.binomial import expected_excess

    chance = random.Random(5)
    cases = []
    for _ in range(300):
        n, p = int(10 ** chance.uniform(0, 5)), 10 ** chance.uniform(-4, 0)
        cases.append([n, p, int(chance.uniform(0, 2) * n * p)])
    cases += [[5, 0, 1], [5, 1, 1], [5, 0.5, 5], [1, 0.5, 0]]
    found = run("return data.map((v) => globalThis.calculatorMaths.expectedExcess(...v));", cases, MATHS)
    assert found == pytest.approx([expected_excess(*case) for case in cases], rel=1e-12, abs=1e-15)
    near = [1.1 * 50, 55.01, 3, 2.999999999999, 3.0000001, 1e9 + 0.2, 0.2]
    assert run("return data.map(globalThis.calculatorMaths.roundUp);", near, MATHS) == list(
        map(round_up, near)
    )
