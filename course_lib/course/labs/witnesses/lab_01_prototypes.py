"""Lab 1's questions: masks, objectives, cross-attention, spans, turns."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, n = size(rng, 2, 3), size(rng, 5, 8)
    real = torch.arange(n) < whole(rng, n, b)[:, None] + 1
    lengths = whole(rng, n, b)
    documents = whole(rng, 3, b, n).sort(dim=-1).values - 1
    yield "encoder_mask", lambda: names["encoder_mask"](real.clone())
    yield "decoder_mask", lambda: names["decoder_mask"](real.clone())
    yield "prefix_mask", lambda: names["prefix_mask"](real.clone(), lengths.clone())
    yield "packed_mask", lambda: names["packed_mask"](documents.flip(-1).clone())


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    shape = size(rng, 2, 3), size(rng, 40, 60)
    tokens, replacements = whole(rng, 50, *shape), whole(rng, 50, *shape)
    special = whole(rng, 8, *shape) == 0
    choose, fate = (
        torch.rand(shape, generator=rng, dtype=torch.float64) for _ in range(2)
    )
    given = (tokens, special, choose / 3, fate, replacements, 50)
    yield "mask_tokens", lambda: names["mask_tokens"](*given)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    b, n, vocab = size(rng, 2, 4), size(rng, 4, 9), size(rng, 5, 11)
    logits, tokens = 5 * normal(rng, b, n, vocab), whole(rng, vocab, b, n)
    counts = whole(rng, 3, b, n) > 0
    counts[0, 1] = True
    loss = names["next_token_loss"]
    yield "next_token_loss", lambda: loss(logits, tokens, counts)
    yield "next_token_loss", lambda: loss(logits, tokens, torch.zeros_like(counts))


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    heads, width, s, t = size(rng, 2, 3), size(rng, 2, 4), size(rng, 3, 6), 4
    d = heads * width
    weights = {part: normal(rng, d, d) for part in "qkvo"}
    sources = [normal(rng, 2, s, d) for _ in range(2)]
    real = torch.arange(s) < torch.tensor([[s - 1], [s]])
    x = normal(rng, 2, t, d)

    def ask() -> list:
        memories = [names["SourceMemory"](s, real, weights, heads) for s in sources]
        return [memory.read(x) for memory in memories]

    yield "read", ask
    yield "once", ask


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    n = size(rng, 12, 20)
    tokens = whole(rng, 90, n).tolist()
    spans = [(size(rng, 0, 3), 2), (size(rng, 6, 8), size(rng, 1, 3))]
    sentinels = [101, 100, 99, 98]
    given = (list(tokens), list(spans), list(sentinels))
    yield "corrupt", lambda: names["corrupt"](*given)
    holes = ([101, *tokens[:3], 100], [101, *tokens[3:5], 100, *tokens[5:], 99])
    yield "restore", lambda: names["restore"](*holes, list(sentinels))


def exercise_6(rng: torch.Generator, names: Names) -> Iterator[Question]:
    turns = [tuple(pair) for pair in whole(rng, 200, size(rng, 2, 6), 2).tolist()]
    for kind in ("causal", "prefix", "causal prefix"):
        yield "token_passes", lambda kind=kind: names["token_passes"](kind, list(turns))
