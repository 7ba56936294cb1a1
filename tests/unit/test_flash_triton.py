"""The Triton kernel: right on the CPU, by Triton's interpreter, and accepted by the compiler for GPUs."""

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
# Of y, whose values are of size 1: float32 sums in another order; the others round weights and result.
TOLERANCE = {"torch.float32": 2e-6, "torch.float16": 2**-9, "torch.bfloat16": 2**-5}

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is published for Linux only")


@cache
def run(mode: str, cache_folder: str) -> dict:
    """What the cases print; `cache_folder` keeps compiled kernels of other versions out."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": cache_folder, "PYTHONPATH": str(ROOT)}
    environment |= {"TRITON_INTERPRET": "1"} if mode == "interpret" else {}
    command = [sys.executable, "-m", "tests.unit.flash_triton_cases", mode]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("triton"))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_kernel_equals_attention_in_float64(dtype, cache_folder):
    cases = {
        name: gaps for name, gaps in run("interpret", cache_folder)["distances"].items() if dtype in name
    }
    assert len(cases) >= 12
    assert {name: gap for name, (gap, _) in cases.items() if gap > TOLERANCE[dtype]} == {}
    assert {name: gap for name, (_, gap) in cases.items() if gap > 2e-6} == {}  # lse is float32 always


def test_bad_arguments_are_named(cache_folder):
    refusals = run("interpret", cache_folder)["refusals"]
    assert refusals["dtype"].startswith("queries is torch.float64: allowed is one of torch.float16")
    assert refusals["width"] == "queries has heads of width 8: allowed are 16 to 128"
    assert refusals["values shorter than keys"] == "values has shape (1, 3, 2, 16): allowed is (1, 4, 2, 16)"
    assert refusals["keys narrower than queries"] == "keys has shape (1, 4, 2, 16): allowed is (1, 4, 2, 32)"
    assert refusals["dtypes"] == "values is torch.float16: allowed is that of queries, torch.float32"
    assert refusals["wide"] == "values has heads of width 144: allowed are 16 to 128"
    assert refusals["small block"] == "block_k=8: allowed are powers of two from 16"
    assert refusals["block"] == "block_q=24: allowed are powers of two from 16"
    assert refusals["groups"] == "kv_heads=2: allowed are the divisors of heads=1"


def test_tensors_on_the_cpu_are_refused_where_nothing_interprets():
    from course_lib.kernels.flash_triton import flash_attention

    x = torch.zeros(1, 4, 2, 16)
    with pytest.raises(ValueError, match="queries is on the CPU: allowed is a GPU, or TRITON_INTERPRET=1"):
        flash_attention(x, x, x)


def test_it_compiles_for_nvidia_cards_and_fits_them(cache_folder):
    found = run("compile", cache_folder)
    assert len(found) == 6
    assert max(shared for shared, _ in found.values()) <= 99 * 1024  # of a program, on compute capability 8.6
    assert all(tensor_cores == ("fp32" not in name) for name, (_, tensor_cores) in found.items())
