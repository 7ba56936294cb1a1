"""What does a sliding window save, and in which form?

One layer's causal attention with a window of W over n tokens, by forms that take turns
in one run:

    mask      PyTorch's fused kernel (SDPA) with the window as a dense mask
    causal    SDPA without a window: what is to be beaten
    banded    `sliding_window_attention`: the band alone, in chunks
    half      the same over half of the tokens: half the time where it is linear

and, at the lengths of `--encoders`, an encoder's two-sided window: ours against one
layer of `transformers`' Longformer and BigBird, projections included.

The numbers to read are ratios of time to banded's, as a median over rounds, and bytes a
token: constant where memory grows with n, doubling with n where it grows with its
square. The script stops if two forms give different outputs.

    python benchmarks/windows.py --json benchmarks/results/windows.json
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
from course_lib.layers.attention.layer import attend_sdpa
from course_lib.layers.attention.longformer import LongformerAttention
from course_lib.layers.attention.sliding_window import sliding_window_attention
from course_lib.layers.masks import causal_mask
from course_lib.layers.positions.numbering import next_positions

TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
TOLERANCE = 2e-5  # of outputs whose values are below 1


def forms(given: argparse.Namespace, tokens: int) -> dict[str, Callable[[], Tensor]]:
    """Each works on the same queries, keys and values, and may be called again."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, tokens, given.heads, given.head_dim) for _ in range(3))
    short = [x[:, : tokens // 2] for x in (q, k, v)]
    found = {
        "banded": lambda: sliding_window_attention(q, k, v, window=given.window),
        "half": lambda: sliding_window_attention(*short, window=given.window),
    }
    if tokens <= given.square:
        places = next_positions(0, 1, tokens)
        mask = causal_mask(places, places, given.window)
        found["mask"] = lambda: attend_sdpa(q, k, v, mask)
        found["causal"] = lambda: attend_sdpa(q, k, v, causal=True)
    return found


def encoders(given: argparse.Namespace, tokens: int) -> dict[str, Callable[[], Tensor]]:
    """One layer each, with one global token; `tokens` is a multiple of the window."""
    from transformers import BigBirdConfig, LongformerConfig
    from transformers.models.big_bird import modeling_big_bird as big_bird
    from transformers.models.longformer import modeling_longformer as longformer

    d, heads = given.heads * given.head_dim, given.heads
    x, positions = torch.randn(1, tokens, d), next_positions(0, 1, tokens)
    first = positions == 0
    ours = LongformerAttention(d, heads, given.head_dim, distance=given.window // 2)
    shape = {"hidden_size": d, "num_attention_heads": heads}
    config = LongformerConfig(**shape, attention_window=[given.window])
    theirs = longformer.LongformerSelfAttention(config, 0).eval()
    state = first * 10_000.0
    flags = {"is_index_masked": state < 0, "is_index_global_attn": first}
    flags |= {"attention_mask": state, "is_global_attn": True}
    other = big_bird.BigBirdBlockSparseAttention(BigBirdConfig(**shape)).eval()
    masks = big_bird.BigBirdModel.create_masks_for_block_sparse_attn(
        torch.ones(1, tokens), 64
    )
    names = ("band_mask", "from_mask", "to_mask")
    blocked = dict(zip(names, masks[1:], strict=True))
    blocked |= {"from_blocked_mask": masks[0], "to_blocked_mask": masks[0]}
    return {
        "banded": lambda: ours(x, positions, first),
        "Longformer": lambda: theirs(x, **flags)[0],
        "BigBird": lambda: other(x, **blocked)[0],
    }


@torch.no_grad()
def row(
    given: argparse.Namespace, tokens: int, runs: dict[str, Callable[[], Tensor]]
) -> dict:
    """Milliseconds and peak bytes of each form, and the ratios to banded."""
    compared = compare(runs, baseline="banded", repeats=given.rounds, device="cpu")
    peaks = {name: peak_tensor_bytes(run, "cpu") for name, run in runs.items()}
    timings, speeds = compared.timings.items(), compared.speedups.items()
    return {
        "tokens": tokens,
        "ms": {name: round(1e3 * one.median_s, 2) for name, one in timings},
        "time_over_banded": {
            name: round(median(1 / speed for speed in each), 2) for name, each in speeds
        },
        "peak_bytes_per_token": {
            name: round(peak / tokens) for name, peak in peaks.items()
        },
    }


@torch.no_grad()
def check_equal(runs: dict[str, Callable[[], Tensor]]) -> None:
    """Stop unless the band gives what the dense mask gives."""
    if "mask" in runs:
        gap = (runs["mask"]() - runs["banded"]()).abs().max().item()
        if gap > TOLERANCE:
            raise SystemExit(
                f"banded is {gap:.1e} from mask, allowed are {TOLERANCE:.0e}"
            )


def main() -> None:
    parser = report.parser(__doc__, rounds=5)
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    parser.add_argument("--encoders", nargs="*", type=int, default=(2048,))
    parser.add_argument("--square", type=int, default=8192, help="longest for SDPA")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    facts = report.machine(given.threads)
    names = ("heads", "head_dim", "window", "rounds")
    settings, rows = {name: getattr(given, name) for name in names}, []
    for kind, lengths in (("decoder", given.tokens), ("encoder", given.encoders)):
        for tokens in lengths:
            runs = (forms if kind == "decoder" else encoders)(given, tokens)
            check_equal(runs)
            found = {"kind": kind} | row(given, tokens, runs)
            rows.append(found)
            print(f"{tokens:5} tokens, {kind}")
            for name, ms in found["ms"].items():
                print(
                    f"    {name:10} {ms:9.2f} ms "
                    f"{found['time_over_banded'][name]:6.2f} x banded "
                    f"{found['peak_bytes_per_token'][name]:9,} B a token",
                    flush=True,
                )
            report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
