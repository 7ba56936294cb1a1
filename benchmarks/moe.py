"""How fast is a mixture of experts, against a dense FFN of equal active FLOPs, and
against `transformers` with its weights?

    prefill   4,096 tokens at once
    decode    1, 4, 16 and 64 tokens, as many as requests write at once

    dense     one SwiGLU as wide as a token's experts together
    eager, grouped, batched   the block of `transformers` (Qwen3-MoE's), by its three
                              ways to run experts
    sorted, padded            ours: `dispatch_sorted`, `dispatch_batched`
    router, sort, weights     parts of ours: the router, sorting the picks, taking the
                              weights of each visited expert out of the stack

All in float32 without gradients, with the router. They take turns in one run; the
numbers to read are ratios of a round's times, as medians over rounds. With one thread
it is the thread's own time that counts, so that other programs disturb less. The
batched way of `transformers` copies the weights of every pick, so that it is left out
where these copies would be above 2 GiB.

The goals: sorted at most 1.05 times eager's time; with 8 experts, at most 1.05 times
the dense network's in prefill. The script stops if two results differ.

    python benchmarks/moe.py --json benchmarks/results/moe.json
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks import report
from course_lib.kit.timing import compare
from course_lib.layers.feed_forward.dispatch import (
    dispatch_batched,
    dispatch_sorted,
    sort_picks,
)
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router

WIDTH, DENSE_WIDTH = 512, 2048
LAYERS = {"E=8 top-2": (8, 2), "E=64 top-8": (64, 8)}
PREFILL, DECODE = 4096, (1, 4, 16, 64)
COPIES = 2 * 2**30
TOLERANCE = 1e-4  # of outputs near 1: sums in another order
EAGER_GOAL, DENSE_GOAL = 1.05, 1.05
PARTS = ("router", "sort", "weights")
"""What of ours is timed by itself: the reason where a goal is missed."""


def build(e: int, k: int) -> tuple[MoE, torch.nn.Module]:
    """Ours and theirs with the same weights; the inner width is a share of the dense
    one.
    """
    from transformers.models.qwen3_moe.configuration_qwen3_moe import Qwen3MoeConfig
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    torch.manual_seed(e)
    inner = DENSE_WIDTH // k
    ours = MoE(Router(WIDTH, e, k), Experts(e, WIDTH, inner)).eval()
    config = Qwen3MoeConfig(
        hidden_size=WIDTH,
        moe_intermediate_size=inner,
        num_experts=e,
        num_experts_per_tok=k,
        norm_topk_prob=True,
    )
    theirs = Qwen3MoeSparseMoeBlock(config).eval()
    with torch.no_grad():
        theirs.gate.weight.copy_(ours.router.gate.weight)
        both = torch.cat([ours.experts.gate, ours.experts.up], 1)
        theirs.experts.gate_up_proj.copy_(both)
        theirs.experts.down_proj.copy_(ours.experts.down)
    return ours, theirs


def sides(e: int, k: int, tokens: int) -> dict[str, Callable[[], Tensor]]:
    """What takes turns, each a call that returns [n d]."""
    ours, theirs = build(e, k)
    dense = GatedMLP(WIDTH, DENSE_WIDTH).eval()
    x = torch.randn(tokens, WIDTH)

    def hugging_face(way: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            theirs.experts.config._experts_implementation = way
            return theirs(x[None])[0]

        return call

    def mixture(dispatch: Callable) -> Callable[[], Tensor]:
        def call() -> Tensor:
            ours.dispatch = dispatch
            return ours(x)

        return call

    found = {"dense": lambda: dense(x), "eager": hugging_face("eager")}
    found["grouped"] = hugging_face("grouped_mm")
    copied = 4 * tokens * k * 3 * WIDTH * (DENSE_WIDTH // k)
    if copied <= COPIES:
        found["batched"] = hugging_face("batched_mm")
    found["sorted"] = mixture(dispatch_sorted)
    found["padded"] = mixture(dispatch_batched)
    with torch.no_grad():
        routing = ours.router(x)
    visited = routing.experts.unique().tolist()
    found["router"] = lambda: ours.router(x).weights
    found["sort"] = lambda: sort_picks(routing, e)
    found["weights"] = lambda: ours.experts.of(visited)
    return {name: torch.no_grad()(side) for name, side in found.items()}


def benchmark(name: str, tokens: int, rounds: int, clock: Callable | None) -> dict:
    """One row: milliseconds of each, and the ratios."""
    e, k = LAYERS[name]
    calls = sides(e, k, tokens)
    wanted = calls["eager"]()
    for other in set(calls) - {"dense", "eager", *PARTS}:
        gap = (calls[other]() - wanted).abs().max().item()
        if gap > TOLERANCE:
            raise SystemExit(f"{name}, {tokens} tokens: {other} differs by {gap}")
    timed = compare(calls, baseline="dense", repeats=rounds, warmup=2, clock=clock)
    over_eager = sorted(
        ours / theirs
        for ours, theirs in zip(
            timed.timings["sorted"].times_s, timed.timings["eager"].times_s, strict=True
        )
    )[rounds // 2]
    over_dense = {side: round(1 / timed.speedup(side), 3) for side in calls}
    goals = {"sorted_over_eager": over_eager <= EAGER_GOAL}
    if tokens == PREFILL and e == 8:
        goals["sorted_over_dense"] = over_dense["sorted"] <= DENSE_GOAL
    return {
        "layer": name,
        "tokens": tokens,
        "ms": {
            side: round(1e3 * timing.median_s, 3)
            for side, timing in timed.timings.items()
        },
        "over_dense": over_dense,
        "sorted_over_eager": round(over_eager, 3),
        "goals_met": goals,
    }


def main() -> None:
    parser = report.parser(__doc__, rounds=15)
    parser.set_defaults(threads=1)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--tokens", nargs="+", type=int, default=(PREFILL, *DECODE))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.thread_time if given.threads == 1 else None
    facts = report.machine(given.threads, "cpu", "transformers")
    settings = {
        "rounds": given.rounds,
        "dtype": "float32",
        "width": WIDTH,
        "dense_width": DENSE_WIDTH,
        "clock": "thread" if clock else "wall",
        "goals": {"sorted_over_eager": EAGER_GOAL, "sorted_over_dense": DENSE_GOAL},
    }
    rows = []
    for name in given.layers:
        for tokens in given.tokens:
            row = benchmark(name, tokens, given.rounds, clock)
            rows.append(row)
            times = "  ".join(
                f"{side} {ratio:.2f}" for side, ratio in row["over_dense"].items()
            )
            missed = [goal for goal, met in row["goals_met"].items() if not met]
            if missed:
                ms = row["ms"]
                shares = (f"{part} {ms[part] / ms['sorted']:.0%}" for part in PARTS)
                missed.append(f"of ours {', '.join(shares)}")
            print(f"{name:10} {tokens:5} tokens, over dense: {times}")
            print(
                f"{'':10} sorted over eager {row['sorted_over_eager']:.2f}; missed: "
                f"{', '.join(missed) or 'none'}",
                flush=True,
            )
            report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
