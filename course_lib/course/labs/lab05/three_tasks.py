"""Lab 5, the ending: three tasks on real text, and what each mixer gives there in
quality, seconds and bytes.

    names     what came after this name the last time? Nothing is trained
    signal    how deep was the code indented some lines ago? A straight-line readout
    text      the next byte, by three models after a short training

Symbols: t tokens or lines, n numbers in a state, d width of a name's code.
"""

import keyword
import math
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lab05.small_models import (
    WIDTH,
    Answers,
    ByteModel,
    held_out_loss,
    text,
)

NAMES, CODE, CHUNK = 2_000, 64, 64
LINES, NUMBERS, LAG = 128, 16, 24
LENGTHS = (128, 256, 512, 1024)
Run = Callable[[int], Any]


def _nbytes(kept: Any) -> int:
    """Bytes of all tensors in what is kept."""
    if isinstance(kept, Tensor):
        return kept.numel() * kept.element_size()
    return sum(map(_nbytes, kept)) if isinstance(kept, tuple | list) else 0


def _costs(run: Run) -> dict[str, list]:
    """CPU seconds, the least of two, and bytes kept, over doubled lengths."""
    seconds, nbytes = [], []
    with torch.no_grad():
        for t in LENGTHS:
            spent = []
            for _ in range(2):
                start = time.thread_time()
                kept = run(t)
                spent.append(time.thread_time() - start)
            seconds.append(max(min(spent), 1e-6))
            nbytes.append(_nbytes(kept))
    return {"lengths": list(LENGTHS), "seconds": seconds, "bytes": nbytes}


def _result(task: str, mixer: str, better: str, quality: float, run: Run) -> dict:
    told = {"task": task, "mixer": mixer, "better": better, "quality": quality}
    return told | _costs(run)


@cache
def names() -> tuple[Tensor, Tensor]:
    """Names in held-out source as numbers [t], and a random code of length 1 each."""
    raw = bytes(text().valid.tolist()).decode("utf-8", "replace")
    words = (w for w in re.findall(r"[A-Za-z_]\w*", raw) if not keyword.iskeyword(w))
    found = list(words)[:NAMES]
    number = {word: i for i, word in enumerate(dict.fromkeys(found))}
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(len(number), CODE, generator=rng)
    return torch.tensor([number[word] for word in found]), _unit(codes)


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Sharp causal attention over all pairs so far, and the pairs."""
    seen = torch.ones(len(q), len(q), dtype=torch.bool).tril()
    return (12.0 * q @ k.mT).masked_fill(~seen, -torch.inf).softmax(1) @ v, (k, v)


def running_sum(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Linear attention: pairs are added into one matrix, nothing is taken out."""
    state, rows = torch.zeros(k.shape[1], v.shape[1]), []
    parts = (x.split(CHUNK) for x in (q, k, v))
    for q_c, k_c, v_c in zip(*parts, strict=True):
        rows.append((q_c @ k_c.mT).tril() @ v_c + q_c @ state)
        state = state + k_c.mT @ v_c
    return torch.cat(rows), state


def names_results(answers: Answers) -> Iterator[dict]:
    """Attention, a sum and the delta rule on the names."""

    def delta(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(1, len(q))
        given = q[None], k[None], v[None], ones, 0 * ones
        y, state = answers.delta_chunked(*given, None, CHUNK)
        return y[0], state

    tokens, codes = names()
    rng = torch.Generator().manual_seed(1)
    row = _unit(torch.randn(max(LENGTHS), CODE, generator=rng))
    mixers = {"attention": attention, "sum": running_sum, "delta rule": delta}
    for mixer, memory in mixers.items():

        def recall(q: Tensor, k: Tensor, v: Tensor, memory: Any = memory) -> Tensor:
            return memory(q, k, v)[0]

        quality = answers.successors(recall, tokens, codes)

        def run(t: int, memory: Callable = memory) -> Any:
            return memory(row[:t], row[:t], row[:t])[1]

        yield _result("names", mixer, "higher", quality, run)


@cache
def indentation(part: str) -> Tensor:
    """Indentation of the lines of source, in steps of four, in rows of `LINES`."""
    raw = bytes(getattr(text(), part).tolist()).decode("latin1")
    depths = [
        len(line) - len(line.lstrip()) for line in raw.split("\n") if line.strip()
    ]
    rows = torch.tensor(depths).double().div(4)
    return rows[: len(rows) // LINES * LINES].view(-1, LINES)


def recalled(features: Callable[[Tensor], Tensor]) -> float:
    """R squared on held-out lines of the best straight-line readout of the indentation
    `LAG` lines ago.
    """

    def pair(part: str) -> tuple[Tensor, Tensor]:
        rows = indentation(part)
        x = features(rows)[:, LAG:]
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
        return x.flatten(0, 1), rows[:, :-LAG].reshape(-1, 1)

    x, y = pair("train")
    readout = torch.linalg.lstsq(x, y).solution
    x, y = pair("valid")
    return 1 - float((y - x @ readout).square().mean() / y.var(correction=0))


def signal_results(answers: Answers) -> Iterator[dict]:
    """Attention to a place, the last few values, and a state of as many numbers."""

    def attend(rows: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.arange(rows.shape[1])
        gaps = (t[:, None] - t - LAG).double()
        weights = (-50 * gaps.square()).masked_fill(t > t[:, None], -torch.inf)
        return (weights.softmax(1) @ rows[..., None]), rows

    def window(rows: Tensor) -> tuple[Tensor, Tensor]:
        padded = torch.nn.functional.pad(rows, (NUMBERS - 1, 0))
        return padded.unfold(1, NUMBERS, 1), rows[:, -NUMBERS:]

    def state(rows: Tensor) -> tuple[Tensor, Tensor]:
        low, high = math.log10(1 / 60), math.log10(2)
        a = -torch.logspace(low, high, NUMBERS, dtype=torch.float64)
        ones = torch.ones(NUMBERS, dtype=torch.float64)
        decay, taken = answers.zoh(a, ones, ones[:1])
        x = rows[..., None] * taken
        states = answers.scan(decay.expand_as(x), x, torch.zeros_like(x[:, 0]))
        return states, states[:, -1]

    long = indentation("train").flatten()[None]
    mixers = {"attention": attend, "window": window, "state": state}
    for mixer, features in mixers.items():
        quality = recalled(lambda rows, features=features: features(rows)[0])

        def run(t: int, features: Callable = features) -> Any:
            return features(long[:, :t])[1]

        yield _result("signal", mixer, "higher", quality, run)


def text_results(models: dict[str, ByteModel]) -> Iterator[dict]:
    """Trained models on held-out bytes."""
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(1, max(LENGTHS), WIDTH, generator=rng)
    for mixer, model in models.items():

        def run(t: int, model: ByteModel = model) -> Any:
            return model.mix(x[:, :t])[1]

        yield _result("text", mixer, "lower", held_out_loss(model), run)
