"""Lab 9: tiny models around a variant, on a task whose answers may stand in the segment
before: the runs that the report is made of.

A text has three segments of eight tokens. A token is a pair (key, value) or a question
(key alone), whose answer is the value that the key has in this text. Half of the
questions ask for a pair of their own segment, half for one of the segment before.

Symbols: b batch, t tokens of a segment, d width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from course_lib.course.labs.lab09 import varying

KEYS, VALUES, WIDTH, TOKENS, SEGMENTS = 24, 8, 16, 8, 3
BATCH, UPDATES, RATE, HELD_OUT = 16, 40, 2e-2, 128
SEEDS = (0, 1, 2, 3, 4)
Mix = Callable[[Tensor, Any, dict[str, Tensor], Sequence[str]], tuple]


class Texts(NamedTuple):
    """Rows of keys and values [b segments t], and where a question stands."""

    keys: Tensor
    values: Tensor
    asked: Tensor


def texts(batch: int, rng: torch.Generator) -> Texts:
    """Draw texts: in each segment four pairs, then four questions."""
    half = TOKENS // 2
    order = torch.rand(batch, KEYS, generator=rng).argsort(1)
    known = order[:, : SEGMENTS * half].view(batch, SEGMENTS, half)
    told = torch.randint(VALUES, (batch, KEYS), generator=rng)
    before = torch.cat([known[:, :1], known[:, :-1]], 1)
    mixed = torch.stack([known[..., : half // 2], before[..., half // 2 :]], 3)
    keys = torch.cat([known, mixed.flatten(2)], 2)
    values = told.gather(1, keys.flatten(1)).view_as(keys)
    asked = (torch.arange(TOKENS) >= half).expand_as(keys)
    return Texts(keys, values, asked)


class Reader(nn.Module):
    """Embeds pairs and questions, runs one variant with a norm before it, scores
    values.

    Args:
        mix, parts: the layer, and which of its parts are on.
        weights: names of its matrices [d d].
        seed: of the start.
    """

    def __init__(
        self, mix: Mix, weights: Sequence[str], parts: Sequence[str], seed: int
    ) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)

        def matrix(rows: int, columns: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(rows, columns, generator=rng))

        self.key, self.value = matrix(KEYS, WIDTH, 1.0), matrix(VALUES + 1, WIDTH, 1.0)
        self.score = matrix(VALUES, WIDTH, WIDTH**-0.5)
        self.layer = nn.ParameterDict(
            {name: matrix(WIDTH, WIDTH, WIDTH**-0.5) for name in weights}
        )
        self.mix, self.parts = mix, tuple(parts)

    def forward(self, rows: Texts) -> Tensor:
        """Scores of the values at every token [b segments t values]."""
        shown = torch.where(rows.asked, VALUES, rows.values)
        line, memory, scored = self.key[rows.keys] + self.value[shown], None, []
        for x in line.unbind(1):
            normed = nn.functional.rms_norm(x, (WIDTH,))
            given = dict(self.layer.items())
            y, memory = self.mix(normed, memory, given, self.parts)
            scored.append((x + y) @ self.score.mT)
        return torch.stack(scored, 1)

    def loss(self, rows: Texts) -> Tensor:
        """Nats a question."""
        return cross_entropy(self(rows)[rows.asked], rows.values[rows.asked])


def trained(
    mix: Mix, weights: Sequence[str], parts: Sequence[str], seed: int
) -> Reader:
    """A model after so many updates; a seed has the same batches whatever the parts."""
    model, rng = Reader(mix, weights, parts, seed), torch.Generator()
    rng.manual_seed(1000 + seed)
    adam = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(UPDATES):
        loss = model.loss(texts(BATCH, rng))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return model


def run(
    mix: Mix, weights: Sequence[str], parts: Sequence[str], seed: int, name: str
) -> dict:
    """One training, as a record: what it cost, and its loss on held-out texts."""
    model = trained(mix, weights, parts, seed)
    rows = texts(HELD_OUT, torch.Generator().manual_seed(99))
    used = [p.numel() for p in model.parameters() if p.grad is not None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        loss = model.loss(rows).item()
    places = HELD_OUT * SEGMENTS * TOKENS
    return {
        "name": name,
        "seed": seed,
        "loss": loss,
        "params": sum(used),
        "flops": counter.get_total_flops() // places,
        "tokens": UPDATES * BATCH * SEGMENTS * TOKENS,
    }


def runs_of(variant: Any) -> Iterator[dict]:
    """The base without any part, the whole variant, and the whole without each part,
    for every seed.
    """
    parts, weights = variant.names()
    kinds = {"base": (), "whole": tuple(parts)}
    for part in parts:
        kinds[f"without {part}"] = tuple(p for p in parts if p != part)
    for seed in SEEDS:
        for name, on in kinds.items():
            yield run(variant.mix, weights, on, seed, name)


@cache
def course_runs() -> tuple[dict, ...]:
    """The runs of the course's own variant."""
    return tuple(runs_of(varying.Variant()))


def own_runs(names: Mapping[str, Any]) -> tuple[list[dict], str]:
    """The runs of the class `Variant` among `names`, and whose they are; those of the
    course's own variant where there is none that can be trained.
    """
    if "Variant" not in names:
        told = "the course's variant, for yours is not defined yet"
        return [dict(one) for one in course_runs()], told
    try:
        return list(runs_of(names["Variant"]())), "your variant"
    except NotImplementedError:
        told = "the course's variant, for yours is not written yet"
    except Exception as error:  # the student's code may raise anything
        told = f"the course's variant, for yours raises {type(error).__name__}: {error}"
    return [dict(one) for one in course_runs()], told


def looked_up(runs: Sequence[dict]) -> tuple[tuple[str, ...], Callable, list[int]]:
    """The parts of the variant that was run, its losses as a function of parts and
    seed, and the seeds: so that ablations need no second training.
    """
    names = dict.fromkeys(one["name"] for one in runs)
    parts = tuple(n.removeprefix("without ") for n in names if n.startswith("without "))
    found = {(one["name"], one["seed"]): one["loss"] for one in runs}

    def loss(on: Sequence[str], seed: int) -> float:
        missing = [part for part in parts if part not in on]
        name = f"without {missing[0]}" if len(missing) == 1 else "base"
        return found["whole" if not missing else name, seed]

    return parts, loss, sorted({one["seed"] for one in runs})
