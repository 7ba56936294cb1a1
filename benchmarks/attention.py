"""How much time and memory does attention take, and does working in tiles cost
anything?

One layer's attention over n tokens, by forms that take turns in one run:

    naive     `attend`: the [n n] scores are written to memory
    tiled     `flash_attention`: one tile of scores at a time, in Python over PyTorch
    sdpa      PyTorch's fused kernel: what a user would pick
    triton    `flash_attention`: our kernel, on a GPU only

The numbers to read are ratios of time to sdpa's, as a median over rounds, and bytes a
token: constant where memory grows with n, doubling with n where it grows with its
square. A peak counts the tensors that operators return; scratch inside one operator
(sdpa's tiles) is not seen on the CPU. Run it on an idle machine.

The script stops if two forms give different outputs.

    python benchmarks/attention.py --json benchmarks/results/attention.json
    python benchmarks/attention.py --device cuda --dtype bfloat16
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks import report
from course_lib.kit.memory import peak_tensor_bytes
from course_lib.kit.timing import compare
from course_lib.layers.attention.flash import flash_attention
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import attend_sdpa
from course_lib.layers.masks import causal_mask
from course_lib.layers.positions.numbering import next_positions

TOKENS = (1024, 2048, 4096, 8192)
TOLERANCE = {
    "float32": 2e-5,
    "bfloat16": 2e-2,
    "float16": 4e-3,
}  # of outputs whose values are below 1


def forms(
    given: argparse.Namespace, tokens: int, causal: bool
) -> dict[str, Callable[[], Tensor]]:
    """Each works on the same queries, keys and values, and may be called again."""
    torch.manual_seed(0)
    like = {"device": given.device, "dtype": getattr(torch, given.dtype)}
    shapes = (given.heads, given.kv_heads, given.kv_heads)
    qkv = [torch.randn(1, tokens, heads, given.head_dim, **like) for heads in shapes]
    places = next_positions(0, 1, tokens, given.device)
    blocks = {"block_q": given.block_q, "block_k": given.block_k}

    def naive() -> Tensor:
        mask = (
            causal_mask(places, places)
            if causal
            else torch.ones_like(causal_mask(places, places))
        )
        return attend(*qkv, mask)[0]

    def tiled() -> Tensor:
        return flash_attention(*qkv, *((places, places) if causal else ()), **blocks)[0]

    found = {
        "naive": naive,
        "tiled": tiled,
        "sdpa": lambda: attend_sdpa(*qkv, causal=causal),
    }
    if torch.device(given.device).type == "cuda":
        from course_lib.kernels import flash_triton

        found["triton"] = lambda: flash_triton.flash_attention(*qkv, causal=causal)[0]
    return found


@torch.no_grad()
def benchmark(given: argparse.Namespace, tokens: int, causal: bool) -> dict:
    """One row: milliseconds and peak bytes of each form, and the ratios to sdpa."""
    runs = forms(given, tokens, causal)
    check_equal(runs, TOLERANCE[given.dtype])
    comparison = compare(
        runs, baseline="sdpa", repeats=given.rounds, device=given.device
    )
    peaks = {name: peak_tensor_bytes(run, given.device) for name, run in runs.items()}
    slower = {
        name: round(median(1 / speed for speed in speeds), 2)
        for name, speeds in comparison.speedups.items()
    }
    return {
        "tokens": tokens,
        "causal": causal,
        "ms": {
            name: round(1e3 * timing.median_s, 2)
            for name, timing in comparison.timings.items()
        },
        "time_over_sdpa": slower,
        "peak_bytes": peaks,
        "peak_bytes_per_token": {
            name: round(peak / tokens) for name, peak in peaks.items()
        },
    }


def check_equal(runs: dict[str, Callable[[], Tensor]], tolerance: float) -> None:
    """Stop unless every form gives what sdpa gives."""
    expected = runs["sdpa"]()
    for name, run in runs.items():
        if (gap := (run() - expected).abs().max().item()) > tolerance:
            raise SystemExit(
                f"{name} is {gap:.1e} from sdpa, allowed are {tolerance:.0e}"
            )


def main() -> None:
    parser = report.parser(__doc__, rounds=5)
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--block-q", type=int, default=128)
    parser.add_argument("--block-k", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=TOLERANCE)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    facts = report.machine(given.threads, given.device)
    names = ("heads", "kv_heads", "head_dim", "block_q", "block_k", "dtype", "rounds")
    settings = {name: getattr(given, name) for name in names}
    rows = []
    for causal in (False, True):
        for tokens in given.tokens:
            row = benchmark(given, tokens, causal)
            rows.append(row)
            print(f"{tokens:5} tokens, {'causal' if causal else 'full'}")
            for name, ms in row["ms"].items():
                times = f"{ms:9.2f} ms  {row['time_over_sdpa'][name]:6.2f} x sdpa"
                print(
                    f"    {name:6} {times}  "
                    f"{row['peak_bytes_per_token'][name]:9,} B a token",
                    flush=True,
                )
            report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
