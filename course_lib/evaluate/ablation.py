"""Ablation: take one part out of a trained model, and see what the loss becomes.

Symbols: b batch, t positions, d model width, h heads, v value width, l layers.

An attention layer is a sum over its heads, y = sum_h head_h W_O[h], so a head is
removed by setting its strip of W_O to zero: one term less, and the others as they were.
A feed-forward network is removed by setting its last matrix to zero. Rotary positions
are changed by telling the turn another position than the token's: the mask stays.

Every function here is a context manager: inside it the model lacks the part, after it
the model is as before, bit for bit.

    layer 0   heads  0 1 2      with heads_removed(model, [(0, 1)]):
    strips of W_O    a b c          a 0 c

What an ablation measures is the damage to this model, which was trained with the part.
A model trained without it could have learned to do without. So it does not say what
the part was needed for during training.

Terms:
    knock-out, ablation of a trained model: a trained model without one of its parts ->
        heads_removed
    head ablation, head pruning: one strip of the output projection set to zero ->
        heads_removed
    position ablation: rotary positions switched off, shuffled or stretched ->
        rope_positions
    induction score, prefix matching: a head's attention to the token that followed an
        earlier copy of the present one -> attention_at
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.positions.rope import Rope
from course_lib.models.lm import CausalLM


@contextmanager
def heads_removed(
    model: CausalLM, heads: Iterable[tuple[int, int]]
) -> Iterator[CausalLM]:
    """The model without some heads, each given as (layer, head), both from 0.

    Raises:
        ValueError: there is no such layer or head.

    >>> from course_lib.specs.small import small_llama
    >>> model, tokens = CausalLM(small_llama(layers=1)), torch.tensor([[1, 2, 3]])
    >>> before = model(tokens)
    >>> with heads_removed(model, [(0, 0)]):
    ...     torch.equal(model(tokens), before)
    False
    >>> torch.equal(model(tokens), before)
    True
    """
    heads = list(heads)
    for layer, head in heads:
        last = len(model.blocks) - 1
        if not 0 <= layer <= last:
            raise ValueError(f"layer={layer}: allowed are 0 to {last}")
        if not 0 <= head < (own := model.blocks[layer].mixer.heads):
            raise ValueError(
                f"head={head}: allowed in layer {layer} are 0 to {own - 1}"
            )
    with _kept([model.blocks[layer].mixer.wo.weight for layer, _ in heads]):
        for layer, head in heads:
            mixer = model.blocks[layer].mixer
            strips = mixer.wo.weight.data.unflatten(1, (mixer.heads, -1))  # [d h v]
            strips[:, head] = 0.0
        yield model


@contextmanager
def feed_forward_removed(model: CausalLM, layers: Iterable[int]) -> Iterator[CausalLM]:
    """The model without the feed-forward networks of some layers.

    A network with a bias behind its last matrix still adds that bias.

    Raises:
        IndexError: there is no such layer.
    """
    found = [model.blocks[layer].ffn.down.weight for layer in layers]
    with _kept(found):
        for weight in found:
            weight.data.zero_()
        yield model


@contextmanager
def rope_positions(
    model: CausalLM, move: Callable[[Int[Tensor, "b t"]], Int[Tensor, "b t"]]
) -> Iterator[CausalLM]:
    """The model with its queries and keys turned as if each token stood elsewhere.

    Args:
        move: from the positions to those that the turn is told. `lambda p: p + 100`
            shifts the text, `torch.zeros_like` switches rotary positions off. The mask
            keeps to the true positions.

    Raises:
        ValueError: a layer has no rotary positions.

    >>> from course_lib.specs.small import small_llama
    >>> model, tokens = CausalLM(small_llama()).double(), torch.tensor([[1, 2, 3]])
    >>> before = model(tokens)
    >>> with rope_positions(model, lambda p: p + 100):
    ...     torch.allclose(model(tokens), before, atol=1e-12)
    True
    """
    mixers = [block.mixer for block in model.blocks]
    own = [mixer.rope for mixer in mixers]
    if not all(isinstance(rope, Rope) for rope in own):
        raise ValueError("model: allowed is one with rotary positions in every layer")
    try:
        for mixer, rope in zip(mixers, own, strict=True):
            settings = {f.name: getattr(rope, f.name) for f in fields(rope)}
            mixer.rope = _MovedRope(**settings, move=move)
        yield model
    finally:
        for mixer, rope in zip(mixers, own, strict=True):
            mixer.rope = rope


@torch.no_grad()
def attention_at(
    model: CausalLM,
    tokens: Int[Tensor, "b t"],
    wanted: Sequence[Bool[Tensor, "b t t"]],
    counted: Bool[Tensor, "b t"],
) -> Float[Tensor, "l h kinds"]:
    """How much attention each head gives to keys of a kind, on average over queries.

    Args:
        wanted: for each kind, which key belongs to it, for each query [b t s]. The key
            before the query, or the one that followed an earlier copy of its token
            (the induction score), are two such kinds.
        counted: the queries of the average.

    Returns:
        A share from 0 to 1 for each layer, head and kind.
    """
    positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
    x, found = model.embed(tokens, positions), []
    for block in model.blocks:
        weights = block.mixer.weights(block.mixer_norm(x), positions)  # [b h t s]
        shares = [(weights * keys[:, None]).sum(-1) for keys in wanted]  # [b h t]
        found.append([share.transpose(1, 2)[counted].mean(0) for share in shares])
        x = block(x, positions)
    return torch.stack([torch.stack(kinds, -1) for kinds in found])


@dataclass(frozen=True)
class _MovedRope(Rope):
    """Rotary positions told other positions than the tokens'."""

    move: Callable[[Tensor], Tensor] | None = None

    def tables(self, positions: Int[Tensor, "b t"], *like) -> tuple[Tensor, Tensor]:
        return Rope.tables(self, self.move(positions), *like)


@contextmanager
def _kept(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Weights that are put back, whatever happens inside."""
    kept = {id(weight): (weight, weight.data.clone()) for weight in weights}
    try:
        yield
    finally:
        for weight, values in kept.values():
            weight.data.copy_(values)
