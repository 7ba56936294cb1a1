"""Block diffusion: text is written block by block, left to right, and within a block
all tokens are guessed together, in a few rounds, from masked ones.

Symbols: b batch, t tokens of a row, c tokens of a block, x the clean row, z the noised
one, in which each token is the mask's with probability p, one p a block.

    sees      clean block i: clean blocks up to i
              noised block i: itself, both ways, and clean blocks before i
    loss      sum over masked tokens of -log P(x_j | z_i, x_<i) / p, a token

One pass over [z; x], twice as long, gives the loss of all blocks at once: the clean
half is what a cache would hold. With c = 1 and p = 1 each token is guessed from the
clean ones before it: the loss of an autoregressive model. With c = t it is masked
diffusion.

Terms:
    block diffusion, semi-autoregressive diffusion, BD3-LM: blocks in order, the tokens
        of a block together -> block_diffusion_loss, denoise_block
    masked diffusion, absorbing state, LLaDA: noise that turns tokens into the mask;
        the loss of masked ones over the noise level -> noised, block_diffusion_loss
    block-causal mask: bidirectional within a block, causal between blocks ->
        block_causal, noised_and_clean
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.masks import MaskMod
from course_lib.models.lm import CausalLM

Tokens = Int[Tensor, "b t"]


def block_causal(block: int) -> MaskMod:
    """Keys of the query's own block, and of all before it.

    >>> positions = torch.arange(4)[None]
    >>> block_causal(2).mask(positions, positions).int().tolist()[0]
    [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    _check(block)
    return MaskMod(lambda query, key: key // block <= query // block)


def noised_and_clean(length: int, block: int) -> MaskMod:
    """The mask of a row [z; x] of 2 t tokens, both halves at positions 0 to t - 1.

    Raises:
        ValueError: `block` is below 1; later, queries or keys are not that row.

    >>> row = torch.arange(2).repeat(2)[None]
    >>> noised_and_clean(2, block=1).mask(row, row).int().tolist()[0]
    [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    """
    _check(block)

    def allows(query: Tensor, key: Tensor) -> Tensor:
        if (query.shape[1], key.shape[2]) != (2 * length, 2 * length):
            raise ValueError(
                f"length={length}: a row [z; x] has {2 * length} tokens, got "
                f"{query.shape[1]} queries and {key.shape[2]} keys"
            )
        place = torch.arange(2 * length, device=query.device)
        number, clean = place % length // block, place >= length
        from_noised = torch.where(
            clean[None, :],
            number[None, :] < number[:, None],  # clean blocks before
            number[None, :] == number[:, None],  # its own, noised
        )
        from_clean = clean[None, :] & (number[None, :] <= number[:, None])
        seen = torch.where(clean[:, None], from_clean, from_noised)
        return seen[None] & (key >= 0)

    return MaskMod(allows)


def noised(
    tokens: Tokens,
    mask_token: int,
    block: int,
    *,
    level: Float[Tensor, "b blocks"] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tokens, Float[Tensor, "b t"]]:
    """Turn tokens into the mask, each with the probability of its block.

    Args:
        level: p of each block; drawn evenly from 0 to 1 when left out.

    Returns:
        the noised tokens, and p of each token.
    """
    _check(block)
    batch, length = tokens.shape
    blocks = -(-length // block)
    like = {"generator": generator, "device": tokens.device}
    if level is None:
        level = torch.rand(batch, blocks, **like).clamp(min=1e-3)
    each = level.repeat_interleave(block, 1)[:, :length]
    hidden = torch.rand(batch, length, **like).to(each.dtype) < each
    return tokens.masked_fill(hidden, mask_token), each


def block_diffusion_logits(
    model: CausalLM, noisy: Tokens, tokens: Tokens, block: int
) -> Float[Tensor, "b t vocab"]:
    """Guesses of all noised blocks in one pass over [z; x].

    *Cost*: a forward pass of 2 t tokens.
    *Source*: Arriola et al. 2025, section 3.2, arXiv:2503.09573.
    """
    length = tokens.shape[1]
    positions = torch.arange(length, device=tokens.device).repeat(2)
    row = torch.cat([noisy, tokens], 1)
    mask = noised_and_clean(length, block)
    places = positions.expand(len(row), -1)
    return model(row, places, mask_mod=mask)[:, :length]


def block_diffusion_loss(
    model: CausalLM,
    tokens: Tokens,
    block: int,
    mask_token: int,
    *,
    level: Float[Tensor, "b blocks"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """What training makes small, an upper bound on nats a token.

    *Equation*: the mean over all tokens of [masked] (-log P(x_j)) / p.
    *Source*: Arriola et al. 2025, section 3, arXiv:2503.09573; without blocks, Nie et
        al. 2025, section 2, arXiv:2502.09992 (LLaDA).
    """
    options = {"level": level, "generator": generator}
    noisy, each = noised(tokens, mask_token, block, **options)
    logits = block_diffusion_logits(model, noisy, tokens, block)
    nats = F.cross_entropy(logits.mT, tokens, reduction="none")
    return (nats * (noisy == mask_token) / each).mean()


@torch.no_grad()
def denoise_block(
    model: CausalLM, before: Tokens, block: int, mask_token: int, rounds: int
) -> Int[Tensor, "b longer"]:
    """Write one more block: in each round the surest guesses are kept.

    Args:
        before: whole blocks that are written.
        rounds: in how many forward passes; `block` of them is a token a pass.

    *Source*: keeping the surest, Nie et al. 2025, section 2.4, arXiv:2502.09992.
    """
    _check(block)
    row = F.pad(before, (0, block), value=mask_token)
    for left in range(rounds, 0, -1):
        logits = model(row, mask_mod=block_causal(block))[:, -block:]
        logits[..., mask_token] = float("-inf")
        chance, guess = logits.softmax(-1).max(-1)
        open_ = row[:, -block:] == mask_token
        count = -(-int(open_[0].sum()) // left)
        kept = chance.masked_fill(~open_, -1).topk(count, 1).indices
        new = row[:, -block:].scatter(1, kept, guess.gather(1, kept))
        row = torch.cat([row[:, :-block], new], 1)
    return row


def _check(block: int) -> None:
    if block < 1:
        raise ValueError(f"block={block}: allowed are whole numbers from 1")
