"""Our recurrences equal the plain forms of flash-linear-attention, whose outputs are recorded, in float64."""

import json

import pytest
import torch

from course_lib.layers.recurrent.delta_rule import (
    delta_rule_chunked,
    delta_rule_parallel,
    delta_rule_recurrent,
)
from course_lib.layers.recurrent.linear_attention import (
    linear_attention_chunked,
    linear_attention_parallel,
    linear_attention_recurrent,
    normalised,
    retention_log_decay,
)
from course_lib.layers.recurrent.rwkv import wkv_chunked, wkv_recurrent

from .naive_forms import CASES, KEPT, B, H, K, T, V, inputs

RECORDED = json.loads(KEPT.read_text(encoding="utf-8"))
X = inputs(RECORDED["seed"])
LINEAR = [linear_attention_recurrent, linear_attention_parallel, linear_attention_chunked]
DELTA = [delta_rule_recurrent, delta_rule_parallel, delta_rule_chunked]
WKV = [wkv_recurrent, wkv_chunked]
QKV = X["q"], X["k"], X["v"]
FORMS = {
    "linear attention": (LINEAR, lambda form, **kept: form(*QKV, state=X["state"], **kept)),
    "linear attention, normalised": (
        LINEAR,
        lambda form, **kept: normalised(form, X["q"].abs(), X["k"].abs(), X["v"], **kept),
    ),
    "a decay a head": (
        LINEAR,
        lambda form, **kept: form(*QKV, X["g_head"][..., None], state=X["state"], **kept),
    ),
    "retention": (
        LINEAR,
        lambda form, **kept: form(*QKV, retention_log_decay(H).double()[:, None].expand(B, T, H, 1), **kept),
    ),
    "gla": (LINEAR, lambda form, **kept: form(*QKV, X["g_channel"], state=X["state"], **kept)),
    "delta rule": (DELTA, lambda form, **kept: form(*QKV, X["beta"], state=X["state"], **kept)),
    "gated delta rule": (
        DELTA,
        lambda form, **kept: form(*QKV, X["beta"], X["g_head"][..., None], state=X["state"], **kept),
    ),
    "kda": (DELTA, lambda form, **kept: form(*QKV, X["beta"], X["g_channel"], state=X["state"], **kept)),
    "rwkv-6": (
        WKV,
        lambda form, **kept: form(*QKV, X["g_channel"], bonus=X["bonus"], state=X["state"], **kept),
    ),
    "rwkv-7": (
        WKV,
        lambda form, **kept: form(
            *QKV, X["g_channel"], kappa=X["kappa"], rate=X["rate"], state=X["state"], **kept
        ),
    ),
}
WITHIN = {
    "linear attention, normalised": 1e-9,  # theirs adds 1e-10 to the sum that it divides by
    "retention": 1e-7,  # our decays are made in float32
}
FORMS["gated delta rule, chunks"] = FORMS["gated delta rule"]


def test_every_recorded_form_is_compared():
    assert FORMS.keys() == CASES.keys() == RECORDED["outputs"].keys() == RECORDED["functions"].keys()


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name, (forms, _) in FORMS.items() for form in forms],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_our_form_gives_what_theirs_gave(name, form):
    within = WITHIN.get(name, 1e-12)
    kept = {"chunk": 3} if form.__name__.endswith("chunked") else {}
    y, state = FORMS[name][1](form, **kept)
    found = {"y": (y, (B, T, H, V)), "state": (state, (B, H, K, V))}
    for part, numbers in RECORDED["outputs"][name].items():
        ours, shape = found[part]
        expected = torch.tensor(numbers, dtype=torch.float64).view(shape)
        torch.testing.assert_close(ours, expected, rtol=within, atol=within)


def test_queries_keys_and_gates_all_count():
    """No recorded output would stay as it is without one of its inputs: the cases tell the forms apart."""
    outputs = [tuple(parts["y"]) for name, parts in RECORDED["outputs"].items() if "chunks" not in name]
    assert len({tuple(round(one, 6) for one in y) for y in outputs}) == len(outputs)
    assert all(abs(one) > 1e-9 for y in outputs for one in y)
