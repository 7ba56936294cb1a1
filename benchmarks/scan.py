"""How fast are recurrences in plain PyTorch: the selective scan and SSD against those
that `transformers` falls back to, and linear attention against SDPA?

    scan forward    selective_scan_chunked against mamba_selective_scan
    scan backward   the same, the backward pass alone; theirs slices one large tensor
                    for each token, and autograd writes a gradient of the full size for
                    each slice
    SSD             ssd_chunked against mamba2_chunk_scan, forward, and forward with
                    backward
    attention       linear_attention_chunked (elu + 1, normalised) against causal SDPA

All in float32, in turns in one run; the numbers to read are ratios of a round's times,
as medians over rounds. With one thread it is the thread's own time that counts, so that
other programs disturb less. `load` is the machine's load average before and after. The
script stops if two results differ.

The goals: scan forward at least 4 times as fast at 2,048 tokens, backward 20 times at
512, and our backward linear (less than 3 times the time for twice the tokens); SSD at
least 1.5 times as fast at an equal chunk.

    python benchmarks/scan.py --json benchmarks/results/scan.json
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import report
from course_lib.layers.recurrent.linear_attention import (
    elu_plus_one,
    linear_attention_chunked,
    normalised,
)
from course_lib.layers.recurrent.scan import CHUNK, selective_scan_chunked
from course_lib.layers.recurrent.ssd import log_decays, ssd_chunked

INNER, STATE = 512, 16  # of the selective scan
HEADS, VALUES, STATES = 16, 64, 64  # of SSD
ATTENTION_HEADS, WIDTH = 8, 64
SCAN_FORWARD, SCAN_BACKWARD = (512, 1024, 2048), (128, 256, 512)
ALONE = (1024, 2048)  # ours only: theirs takes most of a minute
SSD_LENGTHS, SSD_CHUNKS = (1024, 2048), (64, 256)
ATTENTION = (256, 512, 1024, 2048, 4096, 8192)
GOALS = {"scan_forward": 4.0, "scan_backward": 20.0, "growth": 3.0, "ssd": 1.5}
TOLERANCE = 2e-4  # of results, over the largest number: sums in another order

Prepared = Callable[[], Callable[[], object]]
"""A call that makes ready, untimed, and returns the work to time."""


def seconds_in_turns(sides: dict[str, Prepared], rounds: int, clock: Callable) -> dict:
    """The seconds of each side in each round; the first round is not counted."""
    times = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sorted(sides, reverse=turn % 2 == 1):
            work = sides[name]()
            start = clock()
            work()
            times[name].append(clock() - start)
    return {name: found[1:] for name, found in times.items()}


def forward(form: Callable[..., Tensor], given: list[Tensor]) -> Prepared:
    """The forward pass, without gradients."""
    return lambda: torch.no_grad()(partial(form, *given))


def both(form: Callable[..., Tensor], given: list[Tensor]) -> Prepared:
    """Forward and backward."""
    own = [x.clone().requires_grad_() for x in given]

    def work() -> object:
        y = form(*own)
        return torch.autograd.grad(y, own, torch.ones_like(y))

    return lambda: work


def backward(form: Callable[..., Tensor], given: list[Tensor]) -> Prepared:
    """The backward pass alone."""

    def prepare() -> Callable[[], object]:
        own = [x.clone().requires_grad_() for x in given]
        y = form(*own)
        pull = torch.ones_like(y)
        return lambda: torch.autograd.grad(y, own, pull)

    return prepare


def check(name: str, sides: dict[str, Prepared], turned: Callable) -> None:
    """Stop where theirs, brought to our axes, differs from ours."""
    ours, theirs = sides["ours"]()(), sides["theirs"]()()
    pairs = turned(ours, theirs)
    gap = max((a - b).abs().max().item() / b.abs().max().item() for a, b in pairs)
    if gap > TOLERANCE:
        raise SystemExit(f"{name}: results differ by {gap}")


def channels_last(ours: object, theirs: object) -> list[tuple[Tensor, Tensor]]:
    """Theirs have time on the last axis; rates have none."""
    if isinstance(ours, Tensor):
        return [(ours, theirs.transpose(1, 2))]
    return [
        (a, b.transpose(1, 2) if b.ndim == 3 else b)
        for a, b in zip(ours, theirs, strict=True)
    ]


def scan_sides(tokens: int, timed: Callable) -> dict[str, Prepared]:
    """Ours and theirs, each with tensors in its own layout."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    torch.manual_seed(tokens)
    u, dt = torch.randn(1, tokens, INNER), torch.randn(1, tokens, INNER) - 3
    b, c = torch.randn(2, 1, tokens, STATE)
    a = -torch.arange(1.0, STATE + 1).repeat(INNER, 1)
    given = [u, F.softplus(dt), a, b, c]
    turned = [
        x.transpose(1, 2).contiguous() if x.ndim == 3 else x.clone() for x in given
    ]
    return {
        "ours": timed(lambda *x: selective_scan_chunked(*x)[0], given),
        "theirs": timed(mamba_selective_scan, turned),
    }


def ssd_sides(tokens: int, chunk: int, timed: Callable) -> dict[str, Prepared]:
    """Ours and theirs at one chunk, and ours at its own."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    torch.manual_seed(tokens)
    x = torch.randn(1, tokens, HEADS, VALUES)
    dt, a = F.softplus(torch.randn(1, tokens, HEADS) - 3), -15 * torch.rand(HEADS) - 1
    given = [x, dt, a, *torch.randn(2, 1, tokens, 1, STATES)]
    return {
        "ours": timed(lambda *x: ssd_chunked(*x, chunk=chunk)[0], given),
        "theirs": timed(partial(mamba2_chunk_scan, chunk_size=chunk), given),
    }


def ssd_parts(tokens: int, chunk: int) -> dict[str, Prepared]:
    """What of ours is timed by itself: the decays inside chunks, and their product with
    scores and inputs. The reason where a goal is missed.
    """
    blocks = tokens // chunk
    total = -torch.rand(1, blocks, 1, HEADS, chunk).cumsum(-1)
    weights = torch.rand(1, blocks, 1, HEADS, chunk, chunk)
    x = torch.randn(1, blocks, chunk, 1, HEADS, VALUES)
    diagonal = partial(torch.einsum, "bcgrts,bcsgrv->bctgrv")
    return {
        "decays": forward(lambda t: log_decays(t).exp(), [total]),
        "diagonal": forward(diagonal, [weights, x]),
    }


def scan_parts(tokens: int) -> dict[str, Prepared]:
    """Of the scan's forward pass: decays and inputs of all chunks, without the loop."""
    dt, a = torch.rand(tokens, 1, INNER), -torch.rand(INNER, STATE)
    b = torch.randn(tokens, 1, STATE)

    def made(dt: Tensor, a: Tensor, b: Tensor) -> None:
        for first in range(0, tokens, CHUNK):
            now = slice(first, first + CHUNK)
            (dt[now, ..., None] * a).exp_()
            dt[now, ..., None] * b[now, :, None]

    return {"decays and inputs": forward(made, [dt, a, b])}


def attention_sides(tokens: int) -> dict[str, Prepared]:
    """Linear attention at two chunks, and SDPA."""
    torch.manual_seed(tokens)
    q, k, v = torch.randn(3, 1, tokens, ATTENTION_HEADS, WIDTH)
    turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]

    def linear(q: Tensor, k: Tensor, v: Tensor, *, chunk: int) -> Tensor:
        q, k = elu_plus_one(q), elu_plus_one(k)
        return normalised(linear_attention_chunked, q, k, v, chunk=chunk)[0]

    sdpa = partial(F.scaled_dot_product_attention, is_causal=True)
    found = {"sdpa": forward(sdpa, turned)}
    for chunk in (64, 128):
        found[f"linear {chunk}"] = forward(partial(linear, chunk=chunk), [q, k, v])
    return found


def row(what: str, tokens: int, times: dict[str, list[float]], over: str) -> dict:
    """One row: milliseconds of each, and how many times faster than `over`, if that was
    timed.
    """
    found = {
        "what": what,
        "tokens": tokens,
        "ms": {n: round(1e3 * statistics.median(x), 3) for n, x in times.items()},
    }
    if over in times:
        found["faster_than"] = over
        found["times_as_fast"] = {
            name: round(statistics.median(map(_quotient, times[over], own)), 3)
            for name, own in times.items()
            if name != over
        }
    return found


def _quotient(a: float, b: float) -> float:
    return a / b


def scans(rounds: int, clock: Callable):
    """Rows of the selective scan."""
    for tokens in SCAN_FORWARD:
        sides = scan_sides(tokens, forward)
        check(f"scan forward {tokens}", sides, channels_last)
        times = seconds_in_turns(sides | scan_parts(tokens), rounds, clock)
        found = row("scan forward", tokens, times, "theirs")
        if tokens == max(SCAN_FORWARD):
            met = found["times_as_fast"]["ours"] >= GOALS["scan_forward"]
            found["goals_met"] = {"scan_forward": met}
        yield found
    own = {}
    for tokens in (*SCAN_BACKWARD, *ALONE):
        sides = scan_sides(tokens, backward)
        if tokens in ALONE:
            del sides["theirs"]
        else:
            check(f"scan backward {tokens}", sides, channels_last)
        times = seconds_in_turns(sides, rounds, clock)
        found = row("scan backward", tokens, times, "theirs")
        own[tokens] = statistics.median(times["ours"])
        found["goals_met"] = {}
        if tokens == max(SCAN_BACKWARD):
            met = found["times_as_fast"]["ours"] >= GOALS["scan_backward"]
            found["goals_met"]["scan_backward"] = met
        if tokens // 2 in own:
            found["growth"] = round(own[tokens] / own[tokens // 2], 3)
            found["goals_met"]["growth"] = found["growth"] < GOALS["growth"]
        yield found


def ssds(rounds: int, clock: Callable):
    """Rows of SSD."""
    ways = {"SSD forward": forward, "SSD forward and backward": both}
    for (what, timed), tokens in (
        (way, n) for way in ways.items() for n in SSD_LENGTHS
    ):
        for chunk in SSD_CHUNKS:
            sides = ssd_sides(tokens, chunk, timed)
            check(f"{what} {tokens}", sides, lambda a, b: _pairs(a, b))
            parts = ssd_parts(tokens, chunk) if timed is forward else {}
            times = seconds_in_turns(sides | parts, rounds, clock)
            found = row(what, tokens, times, "theirs") | {"chunk": chunk}
            if timed is forward:
                met = found["times_as_fast"]["ours"] >= GOALS["ssd"]
                found["goals_met"] = {"ssd": met}
            yield found


def _pairs(ours: object, theirs: object) -> list[tuple[Tensor, Tensor]]:
    single = isinstance(ours, Tensor)
    return [(ours, theirs)] if single else list(zip(ours, theirs, strict=True))


def attentions(rounds: int, clock: Callable):
    """Rows of linear attention and SDPA."""
    for tokens in ATTENTION:
        times = seconds_in_turns(attention_sides(tokens), rounds, clock)
        yield row("attention", tokens, times, "sdpa")


PARTS = {"scan": scans, "ssd": ssds, "attention": attentions}


def say(found: dict) -> str:
    """A row as a line: times, ratios, and what was missed with what its parts took."""
    ms, chunk = found["ms"], f" chunk {found['chunk']}" if "chunk" in found else ""
    line = f"{found['what']}{chunk}, {found['tokens']} tokens: "
    line += "  ".join(f"{name} {value:g} ms" for name, value in ms.items())
    if "faster_than" in found:
        ratios = found["times_as_fast"].items()
        line += f"; as fast as {found['faster_than']}: "
        line += ", ".join(f"{name} {ratio:.2f} times" for name, ratio in ratios)
    line += f"; growth {found['growth']:.2f}" if "growth" in found else ""
    missed = [name for name, met in found.get("goals_met", {}).items() if not met]
    if missed:
        parts = [name for name in ms if name not in ("ours", "theirs")]
        shares = ", ".join(f"{name} {ms[name] / ms['ours']:.0%}" for name in parts)
        line += f"; MISSED {', '.join(missed)}; of ours {shares or 'nothing timed'}"
    return line


def main() -> None:
    parser = report.parser(__doc__, rounds=7)
    parser.set_defaults(threads=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.thread_time if given.threads == 1 else time.perf_counter
    facts = report.machine(given.threads, "cpu", "transformers")
    settings = {
        "rounds": given.rounds,
        "dtype": "float32",
        "clock": "thread" if given.threads == 1 else "wall",
        "scan": {"inner": INNER, "state": STATE, "chunk": CHUNK},
        "ssd": {"heads": HEADS, "values": VALUES, "state": STATES, "groups": 1},
        "attention": {"heads": ATTENTION_HEADS, "width": WIDTH},
        "goals": GOALS,
        "load": [round(os.getloadavg()[0], 1)],
    }
    rows = []
    for part in given.parts:
        for found in PARTS[part](given.rounds, clock):
            rows.append(found)
            print(say(found), flush=True)
            settings["load"][1:] = [round(os.getloadavg()[0], 1)]
            report.write(given.json, facts, settings, rows)


if __name__ == "__main__":
    main()
