"""The Triton chunk scan: right on the CPU, by Triton's interpreter, and accepted by the compiler for GPUs."""

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
# Over the largest number of the result: float32 sums in another order; the others round inputs and result.
TOLERANCE = {"torch.float32": 2e-6, "torch.float16": 2**-10, "torch.bfloat16": 2**-6}

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is published for Linux only")


@cache
def run(mode: str, cache_folder: str) -> dict:
    """What the cases print; `cache_folder` keeps compiled kernels of other versions out."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": cache_folder, "PYTHONPATH": str(ROOT)}
    environment |= {"TRITON_INTERPRET": "1"} if mode == "interpret" else {}
    command = [sys.executable, "-m", "tests.unit.scan_triton_cases", mode]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("triton"))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_kernel_equals_the_loop_in_float64(dtype, cache_folder):
    found = run("interpret", cache_folder)["distances"]
    cases = {name: gaps for name, gaps in found.items() if dtype in name}
    assert len(cases) >= 4
    assert {name: gaps for name, gaps in cases.items() if max(gaps) > TOLERANCE[dtype]} == {}


def test_bad_arguments_are_named(cache_folder):
    refusals = run("interpret", cache_folder)["refusals"]
    assert refusals["dtype"].startswith("x is torch.float64: allowed is one of torch.float16")
    assert refusals["dtypes"] == "c is torch.float16: allowed is that of x, torch.float32"
    assert refusals["groups"] == "b has 3 groups: allowed are divisors of heads=2"
    assert refusals["state"] == "b has a state of 144: allowed are at most 128"
    assert refusals["chunk"] == "chunk=24: allowed are powers of two from 16"
    assert refusals["device"] == "a is on meta: allowed is the device of x, cpu"


def test_tensors_on_the_cpu_are_refused_where_nothing_interprets():
    from course_lib.kernels.scan_triton import ssd_scan

    x, dt, b = torch.zeros(1, 4, 2, 16), torch.zeros(1, 4, 2), torch.zeros(1, 4, 1, 16)
    with pytest.raises(ValueError, match="x is on the CPU: allowed is a GPU, or TRITON_INTERPRET=1"):
        ssd_scan(x, dt, torch.zeros(2), b, b)


def test_it_compiles_for_nvidia_cards_and_fits_them(cache_folder):
    found = run("compile", cache_folder)
    assert len(found) == 2
    assert max(shared for shared, _ in found.values()) <= 99 * 1024  # of a program, on compute capability 8.6
    assert all(tensor_cores == ("fp32" not in name) for name, (_, tensor_cores) in found.items())
