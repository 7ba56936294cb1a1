"""Run by test_flash_triton.py in a process of its own, for Triton settles at its import how kernels run.

With `interpret` (and TRITON_INTERPRET=1) the kernel runs on the CPU, and what is printed is a JSON object:
case -> largest distance from `attend` in float64, of y and of lse. With `compile` the kernel is compiled for
NVIDIA cards, which needs none: capability and dtype -> bytes of shared memory, whether it uses tensor cores.
"""

# ruff: noqa: E402

import itertools
import json
import sys

from jaxtyping import install_import_hook

from tests import shapes  # noqa: F401

install_import_hook(["course_lib.kernels", "course_lib.layers"], "tests.shapes.checked")

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from course_lib.kernels import flash_triton
from course_lib.kernels.flash_triton import flash_attention
from course_lib.layers.attention.forms import attend
from course_lib.layers.masks import causal_mask
from course_lib.layers.positions.numbering import next_positions
from tests.shapes import unchecked

SHAPES = {  # t, s, h, g, k, v
    "odd": (19, 19, 2, 2, 16, 16),
    "grouped": (17, 17, 6, 2, 24, 24),
    "chunk after a cache": (5, 37, 4, 1, 32, 32),
    "one token": (1, 50, 2, 1, 64, 64),
    "wide, values narrower": (33, 33, 1, 1, 128, 40),
    "queries that see nothing": (21, 18, 2, 1, 16, 16),
}


def distances(shape, causal, dtype, *, step=1, **options):
    t, s, heads, groups, key_dim, value_dim = shape
    sizes = (2, t, heads, key_dim), (2, s, groups, key_dim), (2, s, groups, value_dim)
    # With step 2 the last axis is not contiguous.
    q, k, v = (torch.randn(*size[:-1], size[-1] * step).to(dtype)[..., ::step] for size in sizes)
    mask = torch.ones(2, t, s, dtype=torch.bool)
    if causal:
        mask = causal_mask(next_positions(s - t, 2, t), next_positions(0, 2, s))
    y, lse = flash_attention(q, k, v, causal=causal, **options)
    wide = [x.double() for x in (q, k, v)]
    expected = attend(*wide, mask, scale=options.get("scale"))[0]
    scores = torch.einsum("bthk,bshk->bths", wide[0], wide[1].repeat_interleave(heads // groups, dim=2))
    scores = (scores * options.get("scale", key_dim**-0.5)).masked_fill(~mask[:, :, None], float("-inf"))
    want = scores.logsumexp(-1)
    same_empty = torch.equal(lse == float("-inf"), want == float("-inf"))
    gap = (lse.double() - want).nan_to_num(0.0).abs().max().item() if same_empty else float("inf")
    assert y.dtype == dtype and y.shape == expected.shape and lse.shape == want.shape
    return (y.double() - expected).abs().max().item(), gap


def refusals():
    x, attention = torch.zeros(1, 4, 2, 16), unchecked(flash_attention)
    for name, call in {
        "dtype": lambda: attention(x.double(), x.double(), x.double()),
        "width": lambda: attention(x[..., :8], x[..., :8], x),
        "values shorter than keys": lambda: attention(x, x, x[:, :3]),
        "keys narrower than queries": lambda: attention(torch.cat([x, x], -1), x, x),
        "dtypes": lambda: attention(x, x, x.half()),
        "wide": lambda: attention(x, x, x.repeat(1, 1, 1, 9)),
        "small block": lambda: attention(x, x, x, block_k=8),
        "block": lambda: attention(x, x, x, block_q=24),
        "groups": lambda: attention(x[:, :, :1], x, x),
    }.items():
        try:
            call()
        except ValueError as error:
            yield name, str(error)


def interpreted():
    torch.manual_seed(0)
    found = {}
    for (name, shape), causal in itertools.product(SHAPES.items(), (False, True)):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            blocks = {"block_q": 16, "block_k": 32}
            found[f"{name} | {causal} | {dtype}"] = distances(shape, causal, dtype, **blocks)
    found["scale | True | torch.float32"] = distances(SHAPES["odd"], True, torch.float32, scale=0.7)
    found["strided | True | torch.float32"] = distances(SHAPES["odd"], True, torch.float32, step=2)
    return {"distances": found, "refusals": dict(refusals())}


def compiled():
    """Compile what `flash_attention` would launch by default for causal heads of 128, the widest."""
    found, kernel = {}, flash_triton._forward
    for capability, kind in itertools.product((86, 90), ("fp16", "bf16", "fp32")):
        block = 32 if kind == "fp32" else 64
        constants = {"CAUSAL": True, "BLOCK_Q": block, "BLOCK_K": block, "KEY_DIM": 128, "VALUE_DIM": 128}
        constants |= {"PRECISION": "ieee", "WIDEN": False}
        types = dict.fromkeys("QKVY", f"*{kind}") | {"LSE": "*fp32", "scale_log2": "fp32"}
        types |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(kernel, {name: types.get(name, "i32") for name in kernel.arg_names}, constants)
        binary = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        tensor_cores = any(word in binary.asm["ptx"] for word in ("mma.sync", "wgmma"))
        found[f"{capability} | {kind}"] = binary.metadata.shared, tensor_cores
    return found


if __name__ == "__main__":
    print(json.dumps({"interpret": interpreted, "compile": compiled}[sys.argv[1]]()))
