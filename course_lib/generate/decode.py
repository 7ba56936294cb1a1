"""Decoding: the prompt in one pass (prefill), then every new token fed back, one pass
each (decode).

Symbols: b batch, t tokens of a pass, n new tokens. A *step* is any function from
(tokens [b t], positions [b t]) to logits [b t vocab], of which only the last are used.
What a step remembers between its calls is its own affair, and that is the whole
difference between decoding with a cache and without:

    recomputing_step   pass i runs over all tokens so far: n tokens cost about n^2 / 2
                       token passes
    cached_step        pass i runs over one token and a cache: n tokens cost n passes

Source: Pope et al. 2022, section 2, arXiv:2211.05102, for the two phases.

Terms:
    prefill: one pass over the whole prompt, which fills the cache and gives the first
        new token -> prefill
    decode, decode step, autoregressive decoding: one pass for each new token, which is
        fed back -> decode_step, generate
    cached decoding: a step over the new token and the cache, instead of over all tokens
        -> cached_step, recomputing_step
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.generate.sampling import greedy
from course_lib.layers.positions.numbering import next_positions

Step = Callable[[Tensor, Tensor], Tensor]
Choose = Callable[[Tensor], Tensor]


def cached_step(model: nn.Module, cache: object) -> Step:
    """A step that keeps keys and values in `cache` (from `model.make_cache`), so that
    only new tokens run.
    """
    return lambda tokens, positions: model(tokens, positions, cache, last_only=True)


def recomputing_step(model: nn.Module) -> Step:
    """A step that remembers the tokens alone and runs all of them every time: the
    reference.
    """
    past: list[tuple[Tensor, Tensor]] = []

    def step(tokens: Tensor, positions: Tensor) -> Tensor:
        past.append((tokens, positions))
        all_tokens, all_positions = (
            torch.cat(parts, dim=1) for parts in zip(*past, strict=True)
        )
        return model(all_tokens, all_positions, last_only=True)

    return step


def prefill(
    step: Step, prompt: Int[Tensor, "b t"], positions: Int[Tensor, "b t"] | None = None
) -> Float[Tensor, "b vocab"]:
    """Run the prompt and return the logits of the first new token.

    Args:
        step: the model's step.
        prompt: at least one token a row; rows of unlike length are padded on the left.
        positions: -1 for padding (`masks.positions_from_padding`); 0 to t - 1 when left
            out.

    Raises:
        ValueError: `prompt` has no token, or a row ends in padding.

    *Cost*: `costs.flops.prefill_flops`.
    """
    return step(prompt, _prompt_positions(prompt, positions))[:, -1]


def decode_step(
    step: Step, tokens: Int[Tensor, " b"], positions: Int[Tensor, " b"]
) -> Float[Tensor, "b vocab"]:
    """Run one new token a row and return the logits of the next.

    *Cost*: `costs.flops.flops_per_token`, and one read of the weights and of the cache.
    """
    return step(tokens[:, None], positions[:, None])[:, -1]


def generate(
    step: Step,
    prompt: Int[Tensor, "b t"],
    *,
    max_new_tokens: int,
    sampler: Choose = greedy,
    eos: int | None = None,
    positions: Int[Tensor, "b t"] | None = None,
) -> Int[Tensor, "b n"]:
    """Continue every row until it has said `eos` or has `max_new_tokens` new tokens.

    Args:
        step: the model's step, fresh: with an empty cache.
        prompt: at least one token a row; rows of unlike length are padded on the left.
        max_new_tokens: n at most; the first comes from the prefill, so n - 1 decode
            steps follow.
        sampler: logits [b vocab] to tokens [b].
        eos: the token that ends a row; rows that ended are filled up with it.
        positions: as for `prefill`.

    Returns:
        the new tokens, int64 [b n], without the prompt.

    Raises:
        ValueError: `max_new_tokens` is below 1; and what `prefill` raises.

    *Cost*: one prefill and n - 1 decode steps.
    *Differs from source*: `transformers` returns the prompt too, and fills up with its
        padding token.

    >>> from torch.nn.functional import one_hot
    >>> counts = lambda tokens, positions: one_hot((tokens + 1) % 5, 5).float()
    >>> prompts = torch.tensor([[0, 1], [3, 3]])
    >>> generate(counts, prompts, max_new_tokens=4, eos=4).tolist()
    [[2, 3, 4], [4, 4, 4]]
    """
    if max_new_tokens < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens}: allowed are whole numbers from 1"
        )
    positions = _prompt_positions(prompt, positions)
    place, ended = positions[:, -1], torch.zeros_like(prompt[:, 0], dtype=torch.bool)
    with torch.inference_mode():
        new = [sampler(prefill(step, prompt, positions))]
        while len(new) < max_new_tokens:
            if eos is not None:
                ended = ended | (new[-1] == eos)
                if bool(ended.all()):
                    break
            place = place + 1
            token = sampler(decode_step(step, new[-1], place))
            new.append(token if eos is None else token.masked_fill(ended, eos))
        tokens = torch.stack(new, dim=1)
    return (
        tokens.clone()
    )  # out here a copy is an ordinary tensor again, fit for training


def _prompt_positions(prompt: Tensor, positions: Tensor | None) -> Tensor:
    """The prompt's positions, 0 to t - 1 when left out; refuse a prompt that no token
    can follow.
    """
    if prompt.shape[1] < 1:
        raise ValueError(
            f"prompt has shape {tuple(prompt.shape)}: allowed is at least 1 token a row"
        )
    if positions is None:
        return next_positions(0, *prompt.shape, device=prompt.device)
    if bool((positions[:, -1] < 0).any()):
        ends = positions[:, -1].tolist()
        raise ValueError(
            f"positions ends in {ends}: padding (-1) is allowed on the left only"
        )
    return positions
