"""Run by test_scan_triton.py in a process of its own, for Triton settles at its import how kernels run.

With `interpret` (and TRITON_INTERPRET=1) the kernel runs on the CPU, and what is printed is a JSON object:
case -> largest distance from the loop in float64 over the largest number, of y and of the state. With
`compile` the kernel is compiled for NVIDIA cards, which needs none: capability and dtype -> bytes of shared
memory, whether it uses tensor cores.
"""

# ruff: noqa: E402

import itertools
import json
import sys

from jaxtyping import install_import_hook

from tests import shapes  # noqa: F401

install_import_hook(["course_lib.kernels", "course_lib.layers"], "tests.shapes.checked")

import torch
import torch.nn.functional as F
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from course_lib.kernels import scan_triton
from course_lib.kernels.scan_triton import ssd_scan
from course_lib.layers.recurrent.ssd import ssd_recurrent
from tests.shapes import unchecked

SHAPES = {  # t, h, v, g, n
    "odd": (37, 2, 5, 1, 3),
    "one token": (1, 3, 16, 3, 16),
    "shorter than a chunk": (7, 4, 24, 2, 20),
    "wide": (33, 2, 80, 1, 128),
}


def tensors(shape, dtype, step=1):
    t, heads, values, groups, states = shape
    dt, a = F.softplus(torch.randn(2, t, heads)), -torch.randn(heads).exp()
    sizes = (2, t, heads, values), (2, t, groups, states), (2, t, groups, states)
    # With step 2 the last axis is not contiguous.
    x, b, c = (torch.randn(*size[:-1], size[-1] * step).to(dtype)[..., ::step] for size in sizes)
    return x, dt, a, b / states**0.5, c, torch.randn(2, heads, values, states)


def distances(shape, dtype, *, step=1, started=True, **options):
    x, dt, a, b, c, state = tensors(shape, dtype, step)
    state = state if started else None
    y, end = ssd_scan(x, dt, a, b, c, state, **options)
    wide = [one.double() for one in (x, dt, a, b, c)]
    wanted, last = ssd_recurrent(*wide, None if state is None else state.double())
    assert y.dtype == dtype and end.dtype == torch.float32
    pairs = (y, wanted), (end, last)
    return [((one.double() - other).abs().max() / other.abs().max()).item() for one, other in pairs]


def in_two_calls():
    """The state of a first call goes into the second."""
    x, dt, a, b, c, _ = tensors(SHAPES["odd"], torch.float32)
    whole, last = ssd_scan(x, dt, a, b, c, chunk=16)
    y, state = ssd_scan(x[:, :18], dt[:, :18], a, b[:, :18], c[:, :18], chunk=16)
    z, state = ssd_scan(x[:, 18:], dt[:, 18:], a, b[:, 18:], c[:, 18:], state, chunk=16)
    return (torch.cat([y, z], 1) - whole).abs().max().item(), (state - last).abs().max().item()


def refusals():
    x, dt, a, b = torch.zeros(1, 4, 2, 16), torch.zeros(1, 4, 2), torch.zeros(2), torch.zeros(1, 4, 1, 16)
    scan = unchecked(ssd_scan)
    for name, call in {
        "dtype": lambda: scan(x.double(), dt, a, b, b),
        "dtypes": lambda: scan(x, dt, a, b, b.half()),
        "groups": lambda: scan(x, dt, a, b.repeat(1, 1, 3, 1), b.repeat(1, 1, 3, 1)),
        "state": lambda: scan(x, dt, a, b.repeat(1, 1, 1, 9), b.repeat(1, 1, 1, 9)),
        "chunk": lambda: scan(x, dt, a, b, b, chunk=24),
        "device": lambda: scan(x, dt, a.to("meta"), b, b),
    }.items():
        try:
            call()
        except ValueError as error:
            yield name, str(error)


def interpreted():
    torch.manual_seed(0)
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    found = {
        f"{name} | {dtype}": distances(shape, dtype, chunk=16)
        for (name, shape), dtype in itertools.product(SHAPES.items(), dtypes)
    }
    found["default chunk | torch.float32"] = distances(SHAPES["odd"], torch.float32, started=False)
    found["strided | torch.float32"] = distances(SHAPES["odd"], torch.float32, step=2, chunk=16)
    found["in two calls | torch.float32"] = in_two_calls()
    return {"distances": found, "refusals": dict(refusals())}


def compiled():
    """Compile what `ssd_scan` would launch by default for the widest state."""
    found, kernel = {}, scan_triton._forward
    for capability, kind in ((86, "fp32"), (90, "bf16")):
        constants = dict(T=32, N=128, V=32) if kind == "fp32" else dict(T=64, N=128, V=64)
        constants |= {"PRECISION": "ieee", "WIDEN": False}
        types = dict.fromkeys("XBCY", f"*{kind}") | dict.fromkeys(("DT", "A", "START", "END"), "*fp32")
        types |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(kernel, {name: types.get(name, "i32") for name in kernel.arg_names}, constants)
        binary = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        tensor_cores = any(word in binary.asm["ptx"] for word in ("mma.sync", "wgmma"))
        found[f"{capability} | {kind}"] = binary.metadata.shared, tensor_cores
    return found


if __name__ == "__main__":
    print(json.dumps({"interpret": interpreted, "compile": compiled}[sys.argv[1]]()))
