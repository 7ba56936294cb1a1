"""How fast are a forward pass and a training step of `CausalLM`, against `transformers`
with its weights?

    forward   logits of every token, no cache, no gradients
    padded    the same for a batch whose rows are padded on the left to unlike lengths
    train     forward pass, cross-entropy and backward pass

Both sides use PyTorch's fused attention in float32. They take turns in one run; the
number to read is how many times faster a round of ours was than the same round of
theirs, as a median over rounds. Above 1 ours is faster. Run it on an idle machine.

The script stops if the two give different logits.

    python benchmarks/forward.py --json benchmarks/results/forward.json
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks import report
from benchmarks.decode import MODELS, build
from course_lib.kit.timing import compare
from course_lib.layers.positions.numbering import positions_from_padding

BATCH = 4
TOKENS = (64, 256, 1024)
KINDS = ("forward", "padded", "train")
TOLERANCE = 2e-3  # of float32 logits: both sum in another order


def work(
    kind: str, theirs, ours, tokens: int
) -> tuple[dict[str, Callable[[], Tensor]], Tensor]:
    """The two sides of one kind of work, and which of their logits belong to real
    tokens.
    """
    torch.manual_seed(tokens)
    text = torch.randint(1, theirs.config.vocab_size, (BATCH, tokens))
    real = torch.ones_like(text)
    if kind == "padded":
        for row in range(BATCH):
            real[row, : row * tokens // (2 * BATCH)] = 0
        places = positions_from_padding(real)
        options = {
            "attention_mask": real,
            "position_ids": places.clamp(min=0),
            "use_cache": False,
        }
        sides = {
            "transformers": lambda: theirs(text, **options).logits,
            "ours": lambda: ours(text, places),
        }
        return {
            name: torch.no_grad()(side) for name, side in sides.items()
        }, real.bool()
    sides = {
        "transformers": lambda: theirs(text, use_cache=False).logits,
        "ours": lambda: ours(text),
    }
    if kind == "forward":
        return {
            name: torch.no_grad()(side) for name, side in sides.items()
        }, real.bool()

    def step(model, logits: Callable[[], Tensor]) -> Tensor:
        model.zero_grad()
        scores = logits()
        cross_entropy(scores[:, :-1].flatten(0, 1), text[:, 1:].flatten()).backward()
        return scores.detach()

    trained = {"transformers": theirs, "ours": ours}
    return {
        name: lambda name=name: step(trained[name], sides[name]) for name in sides
    }, real.bool()


def benchmark(name: str, kind: str, tokens: int, rounds: int) -> dict:
    """One row: milliseconds of each side, and the ratio."""
    theirs, ours = build(MODELS[name])
    sides, real = work(kind, theirs, ours, tokens)
    gap = (sides["transformers"]() - sides["ours"]())[real].abs().max().item()
    if gap > TOLERANCE:
        raise SystemExit(f"{name}, {kind}, {tokens} tokens: logits differ by {gap}")
    comparison = compare(sides, baseline="transformers", repeats=rounds)
    return {
        "model": name,
        "kind": kind,
        "batch": BATCH,
        "tokens": tokens,
        "ms": {
            side: round(1e3 * timing.median_s, 2)
            for side, timing in comparison.timings.items()
        },
        "ours_against_transformers": round(comparison.speedup("ours"), 2),
    }


def main() -> None:
    parser = report.parser(__doc__, rounds=7)
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["small", "medium"]
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    facts = report.machine(given.threads, "cpu", "transformers")
    settings = {
        "rounds": given.rounds,
        "dtype": "float32",
        "batch": BATCH,
        "models": MODELS,
    }
    rows = []
    print(
        "ms a pass                            transformers      ours    times as fast"
    )
    for name in given.models:
        for kind in given.kinds:
            for tokens in given.tokens:
                row = benchmark(name, kind, tokens, given.rounds)
                rows.append(row)
                times = "".join(f"{ms:10.2f}" for ms in row["ms"].values())
                print(f"{name:8} {kind:8} {BATCH} x {tokens:5}    {times}    ", end="")
                print(f"{row['ours_against_transformers']:.2f}x", flush=True)
                report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
