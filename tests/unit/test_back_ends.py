"""Attention back ends behind one signature: what each does, refuses, and gives gradients of."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from course_lib.kernels.back_ends import (
    BACK_ENDS,
    Request,
    attention,
    causal,
    causal_documents,
    causal_window,
    distance_bias,
    plain,
    prefix_then_causal,
)
from course_lib.kernels.probe import probe
from course_lib.layers.attention.forms import attend
from course_lib.layers.masks import CAUSAL, prefix, same_document, sliding_window
from course_lib.layers.positions.bias import AlibiBias, alibi_slopes
from course_lib.layers.positions.numbering import next_positions
from tests.unit.back_ends_cases import DOCUMENTS, REQUESTS, SHAPE, SINKS

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"float64": 1e-13, "float32": 4e-6}  # sums in another order


@pytest.fixture(scope="module")
def found() -> dict:
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    noisy = ["-W", "error::UserWarning", "-W", "error::FutureWarning"]
    command = [sys.executable, *noisy, "-m", "tests.unit.back_ends_cases"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["plain", "SDPA", "FlexAttention"])
def test_three_back_ends_do_every_request_in_either_precision(found, name):
    for dtype, rows in found[name].items():
        assert list(rows) == list(REQUESTS)
        gaps = {words: row[0] for words, row in rows.items()}
        assert all(gap is not None and gap <= TOLERANCE[dtype] for gap in gaps.values()), gaps


def test_sdpa_has_the_plain_forms_gradients_and_flex_none_on_a_cpu(found):
    for dtype, allowed in TOLERANCE.items():
        for words, row in found["SDPA"][dtype].items():
            assert row[1] is not None and row[1] <= allowed, (words, row)
        for row in found["FlexAttention"][dtype].values():
            assert row[1] is None and row[3].startswith("NotImplementedError: FlexAttention does not support")


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is published for Linux only")
def test_our_kernel_is_causal_or_not_forward_only_and_of_float32(found):
    rows = found["Triton"]["float32"]
    able = {words for words, row in rows.items() if row[0] is not None}
    assert able == {"everything", "causal", "sinks", "sinks on everything"}
    assert max(rows[words][0] for words in able) <= TOLERANCE["float32"]
    assert all("forward only" in rows[words][3] for words in able)
    assert rows["window"][2] == "ValueError: mask: allowed are None and `causal`"
    assert rows["bias"][2] == "ValueError: bias: allowed is None"
    assert all(row[0] is None for row in found["Triton"]["float64"].values())


def test_functions_of_indices_are_the_masks_of_positions():
    b, t, *_ = SHAPE
    places = next_positions(0, b, t, torch.device("cpu"))
    pairs = {
        causal: CAUSAL,
        causal_window(5): CAUSAL & sliding_window(5),
        causal_documents(DOCUMENTS): CAUSAL & same_document(DOCUMENTS),
        prefix_then_causal(7): prefix(7),
    }
    for function, mask in pairs.items():
        made = Request().on_all_pairs(function, b, 1, t, places.device)[:, 0]
        assert torch.equal(made, mask.mask(places, places))


def test_the_plain_form_is_attend_with_its_bias_and_sinks():
    b, t, h, g, k = SHAPE
    q, keys, values = (torch.randn(b, t, n, k, dtype=torch.float64) for n in (h, g, g))
    places = next_positions(0, b, t, q.device)
    bias = AlibiBias(h)(places, places).to(q)
    request = Request(mask=causal, bias=distance_bias(alibi_slopes(h).to(q)), sinks=SINKS.to(q))
    wanted, _ = attend(q, keys, values, CAUSAL.mask(places, places), bias=bias, sinks=SINKS)
    assert_close(plain(q, keys, values, request), wanted, rtol=1e-6, atol=1e-7)  # the layer's slopes: float32


def test_an_unknown_back_end_is_refused_by_name():
    x = torch.zeros(1, 2, 1, 16)
    with pytest.raises(ValueError, match="back_end='cudnn': allowed are 'plain', 'SDPA', 'FlexAttention'"):
        attention(x, x, x, back_end="cudnn")
    assert next(iter(BACK_ENDS)) == "plain" and probe("plain", Request()).gap == 0


def test_a_wrong_back_end_is_found_by_the_probe(monkeypatch):
    """One that forgets the mask, and one that detaches."""
    wrong = {"all": lambda q, k, v, r: plain(q, k, v, Request())}
    wrong["cut"] = lambda q, k, v, r: plain(q.detach(), k, v, r)
    monkeypatch.setattr("course_lib.kernels.back_ends.BACK_ENDS", {**BACK_ENDS, **wrong})
    assert probe("all", REQUESTS["causal"], SHAPE).gap > 0.1
    cut = probe("cut", REQUESTS["causal"], SHAPE)
    assert cut.gap == 0 and cut.gradient_gap is None and cut.gradient_problem.startswith("RuntimeError")
