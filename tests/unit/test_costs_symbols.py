"""The page's formulas are the functions themselves: called with symbols, they give the expression they
compute."""

import pytest
import sympy

from course_lib.costs.arithmetic import is_symbol, larger, smaller
from course_lib.costs.cache import cache_bytes, kv_cache_bytes, score_matrix_bytes
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.flops import flops_per_token, prefill_flops, visible_pairs
from course_lib.costs.hardware import Hardware
from course_lib.costs.latency import request_seconds
from course_lib.costs.roofline import decode_roofline
from course_lib.costs.serving import concurrent_requests
from course_lib.costs.work import roofline_time
from tests.unit.costs_models import LLAMA_70B, MISTRAL_V01, T5


def roofline_seconds(flops, bytes_moved, peak_flops, bandwidth, devices):
    device = Hardware("any", peak_flops, bandwidth, memory_bytes=1)
    return roofline_time(flops=flops, bytes_moved=bytes_moved, hardware=device, devices=devices).time_s


def ring_bytes(batch, tokens):
    return cache_bytes(MISTRAL_V01, batch=batch, tokens=tokens, ring=True)


def decode_seconds(batch, context):
    return decode_roofline(LLAMA_70B, Hardware("any", 1e15, 3e12, 8e10), batch=batch, context=context).time_s


BUDGET = {"batch": 3, "tokens": 4096, "kv_heads": 8, "head_dim": 128, "layers": 80, "bytes_per_element": 2}
ROOM = {"memory_bytes": 640.0e9, "weight_bytes": 141e9, "cache_bytes_per_request": 1.3e9, "reserve": 0.1}
PASS = {"flops": 3e15, "bytes_moved": 2e11, "peak_flops": 9.9e14, "bandwidth": 3.35e12, "devices": 8}
REQUEST = {"prefill_s": 0.7, "tokens_in": 4096, "tokens_out": 300, "step_s": 0.005, "step_s_per_token": 1e-7}

FORMULAS = {
    "cache": (kv_cache_bytes, BUDGET),
    "requests that fit": (concurrent_requests, ROOM),
    "roofline": (roofline_seconds, PASS),
    "roofline, bound by compute": (roofline_seconds, {**PASS, "flops": 3e17}),
    "request": (request_seconds, REQUEST),
    "score matrix": (score_matrix_bytes, {"tokens": 4096, "bytes_per_element": 2, "heads": 64, "batch": 2}),
    "pairs": (visible_pairs, {"tokens": 4096}),
    "pairs in a window": (visible_pairs, {"tokens": 4096, "window": 100}),
    "pairs in a window that is longer": (visible_pairs, {"tokens": 4096, "window": 5000}),
    "experts": (expected_active_experts, {"experts": 256, "top_k": 8, "batch": 16}),
    "a model's cache below its window": (ring_bytes, {"batch": 2, "tokens": 4000}),
    "a model's cache beyond its window": (ring_bytes, {"batch": 2, "tokens": 5000}),
    "a model's decode step": (decode_seconds, {"batch": 8, "context": 32768}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_traced_and_evaluated_back(name):
    """To 1e-12: SymPy may add in another order than Python does."""
    formula, values = FORMULAS[name]
    whole = {key: isinstance(value, int) for key, value in values.items()}
    symbols = {key: sympy.Symbol(key, positive=True, integer=whole[key] or None) for key in values}
    expression = formula(**symbols)
    assert expression.free_symbols == set(symbols.values())
    evaluated = expression.subs({symbols[key]: value for key, value in values.items()})
    assert float(evaluated) == pytest.approx(float(formula(**values)), rel=1e-12)


def test_the_cache_formula_reads_as_in_the_text():
    batch, tokens, groups, width, layers, size = sympy.symbols("B n G d_k L b", positive=True)
    expression = kv_cache_bytes(
        batch=batch, tokens=tokens, kv_heads=groups, head_dim=width, layers=layers, bytes_per_element=size
    )
    assert expression == 2 * batch * tokens * groups * width * layers * size
    assert sympy.latex(expression) == "2 B G L b d_{k} n"
    assert sympy.jscode(expression) == "2*B*G*L*b*d_k*n"


def test_prefill_of_a_whole_model_is_a_quadratic_in_its_tokens():
    tokens = sympy.Symbol("n", positive=True, integer=True)
    polynomial = sympy.Poly(prefill_flops(LLAMA_70B, tokens), tokens)
    assert polynomial.degree() == 2
    assert polynomial.coeff_monomial(tokens**2) == 2 * 80 * 64 * 128
    assert flops_per_token(LLAMA_70B, tokens).diff(tokens) == 4 * 80 * 64 * 128
    assert polynomial.eval(4096) == prefill_flops(LLAMA_70B, 4096)
    assert prefill_flops(T5, tokens, source_tokens=7).diff(tokens).free_symbols == {tokens}


def test_minimum_and_maximum():
    n = sympy.Symbol("n", positive=True)
    assert smaller(n, 3) == sympy.Min(n, 3)
    assert larger(2, n) == sympy.Max(2, n)
    assert (smaller(2, 3), larger(2, 3)) == (2, 3)
    assert is_symbol(n + 1)
    assert not is_symbol(sympy.Integer(3))
    assert smaller(sympy.Integer(2), 3) == 2
