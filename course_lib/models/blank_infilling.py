"""Blank infilling (GLM): cut spans out of a text, then write them one after another,
given the rest.

Symbols: x the text; part A, x with each span replaced by one [MASK]; part B, the spans,
each after a [START]. A attends to A in both directions; B to A, and to what of B stands
before it. So it is a prefix language model over A and B, with p tokens in A. The spans
stand in any order, and each token has two positions:

    x         the  quick  brown  fox  jumps           spans: "quick brown", "jumps"
    input     the  [M]  fox  [M]  [S]  jumps  [S]  quick  brown
    place      0    1    2    3    3    3      1    1      1     in B, that of its [M]
    within     0    0    0    0    1    2      1    2      3     in B, counted from 1
    target     -    -    -    -  jumps  [E]  quick  brown  [E]

Terms:
    blank infilling, GLM objective: spans are cut out and written after the text, one
        after another -> blank_out, BlankInfillingLM
    2D positions, intra-span positions: GLM's two positions a token: where its span
        stood, and its place inside the span -> Blanks
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.masks import prefix
from course_lib.layers.positions.absolute import LearnedPositions
from course_lib.models.embed import checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    initialise,
)
from course_lib.models.lm import CausalLM
from course_lib.specs.records import ModelSpec


@dataclass(frozen=True, eq=False)
class Blanks:
    """One text laid out for blank infilling: n tokens, of which `prefix_length` are in
    part A.

    Attributes:
        tokens: input [n]. places, within: the two positions [n].
        targets: what each token of part B has to say [n]; the input's token in part A,
            where nothing is said.
        predicted: True in part B [n].
    """

    tokens: Int[Tensor, " n"]
    places: Int[Tensor, " n"]
    within: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    predicted: Bool[Tensor, " n"]
    prefix_length: int


def blank_out(
    text: Int[Tensor, " t"],
    spans: Sequence[tuple[int, int]],
    *,
    mask_id: int,
    start_id: int,
    end_id: int,
    order: Sequence[int] | None = None,
) -> Blanks:
    """Lay a text out: part A with a [MASK] for each span, then the spans in the given
    order.

    Args:
        text: token ids.
        spans: (start, end) of each, end not included; in the text's order, not empty,
            not overlapping.
        mask_id, start_id, end_id: of [MASK], [START] and [END].
        order: in which spans are written; left out, that of the text. GLM draws it at
            random, so that each span is written from A and any other spans.

    Raises:
        ValueError: a span is empty, overlaps or lies outside the text; `order` does not
        name each span once.

    *Source*: Du et al. 2022, sections 2.1 and 2.2, arXiv:2103.10360.

    >>> text = torch.tensor([10, 11, 12, 13, 14])
    >>> ids = {"mask_id": 1, "start_id": 2, "end_id": 3}
    >>> blanks = blank_out(text, [(1, 3), (4, 5)], **ids, order=[1, 0])
    >>> blanks.tokens.tolist(), blanks.places.tolist()
    ([10, 1, 13, 1, 2, 14, 2, 11, 12], [0, 1, 2, 3, 3, 3, 1, 1, 1])
    >>> blanks.within.tolist(), blanks.targets[blanks.predicted].tolist()
    ([0, 0, 0, 0, 1, 2, 1, 2, 3], [14, 3, 11, 12, 3])
    """
    order = range(len(spans)) if order is None else order
    if sorted(order) != list(range(len(spans))):
        raise ValueError(
            f"order={list(order)}: allowed is each of 0 to {len(spans) - 1} once"
        )
    words, kept, end = text.tolist(), [], 0
    for start, stop in spans:
        if not end <= start < stop <= len(words):
            raise ValueError(
                f"spans={list(spans)}: {(start, stop)} is not allowed; "
                f"here {end} <= start < end <= {len(words)}"
            )
        kept += [*words[end:start], mask_id]
        end = stop
    kept += words[end:]
    masks = [
        start - sum(b - a - 1 for a, b in spans[:i])
        for i, (start, _) in enumerate(spans)
    ]
    rows = [
        (token, place, 0, token) for place, token in enumerate(kept)
    ]  # token, place, within, target
    for i in order:
        span = words[slice(*spans[i])]
        said = zip([start_id, *span], [*span, end_id], strict=True)
        rows += [
            (token, masks[i], within, target)
            for within, (token, target) in enumerate(said, start=1)
        ]
    tokens, places, within, targets = torch.tensor(
        rows, dtype=text.dtype, device=text.device
    ).unbind(1)
    predicted = torch.arange(len(rows), device=text.device) >= len(kept)
    return Blanks(tokens, places, within, targets, predicted, len(kept))


class BlankInfillingLM(CausalLM):
    """GLM: the blocks of a causal model under a prefix mask, with two learned tables of
    positions.

    Args:
        spec: as in `CausalLM`, with `learned_positions` for the places; its layers know
            no other positions.
        longest_span: the largest `within`.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: `longest_span` is below 1; the spec has no learned positions, or a
            layer with positions of its own (RoPE, a bias, a window); and as in
            `CausalLM`.

    *Cost*: that of `CausalLM`, and (longest_span + 1) d parameters.
    *Source*: Du et al. 2022, arXiv:2103.10360.
    """

    def __init__(
        self, spec: ModelSpec, longest_span: int, *, std: InitialScale = "fan_in"
    ) -> None:
        super().__init__(spec)
        if longest_span < 1:
            raise ValueError(
                f"longest_span={longest_span}: allowed are whole numbers from 1"
            )
        if not spec.embeddings.learned_positions:
            raise ValueError(
                "learned_positions=0: blank infilling needs a table of places"
            )
        own = ("rope", "window", "alibi", "relative_buckets")
        for mixer in (layer.mixer for layer in spec.layers):
            if found := [name for name in own if getattr(mixer, name, None)]:
                raise ValueError(
                    f"{found[0]}={getattr(mixer, found[0])!r}: only layers without "
                    "are supported"
                )
        self.within = LearnedPositions(longest_span + 1, spec.width)
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        places: Int[Tensor, "b t"],
        within: Int[Tensor, "b t"],
        cache: ModelCache | None = None,
        *,
        prefix_lengths: int | Int[Tensor, " b"],
        order: Int[Tensor, "b t"] | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """Score the vocabulary after each token.

        Args:
            tokens, places, within: from `blank_out`, row beside row.
            cache: from `make_cache`; the first call holds all of part A.
            prefix_lengths: tokens of part A, one for all rows or one a row.
            order: each token's place in the row, which the mask goes by, -1 for padding
                on the left; left out, 0 to t - 1, or from where the cache ends.
            last_only: score after the last token alone.

        Raises:
            ValueError: a position lies beyond its table, or the cache is full.
        """
        order = checked_positions(tokens, order, 0 if cache is None else cache.length)
        x = self.embed(tokens, places) + self.within(within)
        return self.run(
            x, order, cache, mask_mod=prefix(prefix_lengths), last_only=last_only
        )
