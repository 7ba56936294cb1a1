"""Prefix language model (prefix LM): a causal model whose first p tokens attend to one
another in both directions.

Symbols: b batch, t tokens, p tokens of the prefix. The weights are those of a causal
model; only the mask differs. With p = 0 it is the causal model, with p = t an encoder.
The prompt is the prefix; the answer is written after it, token by token, from the
cache.

Terms:
    prefix LM, prefix language model, PrefixLM: bidirectional over a prompt, causal over
        the answer -> PrefixLM
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.masks import prefix
from course_lib.models.lm import CausalLM


class PrefixLM(CausalLM):
    """Logits for the token after each given token, where the first p tokens of a row
    attend to one another.

    Args:
        spec: as in `CausalLM`; weights of a causal model fit.

    Raises:
        ValueError: as in `CausalLM`.

    *Cost*: that of `CausalLM`, but p^2 pairs in the prefix for p (p + 1) / 2.
    *Source*: Raffel et al. 2020, section 3.2.1, arXiv:1910.10683; Dong et al. 2019,
        arXiv:1905.03197 (UniLM).

    >>> from functools import partial
    >>> from course_lib.generate.decode import cached_step, generate
    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 2, "intermediate_size": 5, "vocab_size": 7}
    >>> model = PrefixLM(spec_from_hf_config(config))
    >>> question = torch.tensor([[1, 2, 3]])
    >>> cache = model.make_cache(batch=1, capacity=8)
    >>> step = cached_step(partial(model, prefix_lengths=3), cache)
    >>> generate(step, question, max_new_tokens=4).shape
    torch.Size([1, 4])
    """

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        prefix_lengths: int | Int[Tensor, " b"],
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """Score the vocabulary after each token.

        Args:
            tokens, positions, cache, last_only: as in `CausalLM`. With a cache, the
                first call holds the whole prefix, for its tokens attend to those after
                them.
            prefix_lengths: p, real tokens of the prefix; one for all rows or one a row.

        Raises:
            ValueError: a length is below 0; a cached prefix is given in more than one
                call; and what `CausalLM` raises.
        """
        if cache is not None:
            _check_whole(self._positions(tokens, positions, cache), prefix_lengths)
        return super().forward(
            tokens,
            positions,
            cache,
            mask_mod=prefix(prefix_lengths),
            last_only=last_only,
        )


def answers(
    positions: Int[Tensor, "b t"], prefix_lengths: int | Int[Tensor, " b"]
) -> Bool[Tensor, "b t"]:
    """The places whose logits say a token after the prefix: what training counts.

    The prefix's last token says the first of them; the row's last token says one that
    is not there.

    >>> answers(torch.tensor([[-1, 0, 1, 2, 3]]), 2).int().tolist()
    [[0, 0, 1, 1, 0]]
    """
    lengths = torch.as_tensor(prefix_lengths, device=positions.device).view(-1, 1)
    last = positions.amax(dim=1, keepdim=True)
    return (positions >= lengths - 1) & (positions >= 0) & (positions < last)


def _check_whole(positions: Tensor, prefix_lengths: int | Tensor) -> None:
    """Refuse a chunk that holds a part of a prefix: its tokens would miss what comes
    later.
    """
    lengths = torch.as_tensor(prefix_lengths, device=positions.device).expand(
        len(positions)
    )
    first = positions.masked_fill(positions < 0, torch.iinfo(positions.dtype).max).amin(
        dim=1
    )
    last = positions.amax(dim=1)
    cut = (first < lengths) & ((first > 0) | (last < lengths - 1))
    if bool(cut.any()):
        row = int(cut.int().argmax())
        raise ValueError(
            f"positions of row {row} are {int(first[row])} to {int(last[row])}: a call "
            f"with a cache has to hold the whole prefix of {int(lengths[row])} tokens"
        )
