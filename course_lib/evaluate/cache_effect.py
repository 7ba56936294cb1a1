"""What a cache that rounds does to a model's predictions: loss, divergence, and the
errors of the vectors themselves.

Symbols: t tokens of a text; p the predictions with an exact cache, q with another one.

    loss         mean -log q of the next token
    divergence   mean KL(p || q), nats per token
    same first   share of tokens whose most likely next token is the same
    key error    |keys - keys as handed out| / |keys|, over all layers and tokens

The text goes through the model in one pass. A cache hands out what it stored, so every
token attends to rounded keys and values only, its own among them: the effect of a
cache, without a decode loop.

Terms:
    perplexity under cache quantisation: a text's loss when its keys and values come
        back from a rounding cache -> cache_effects
    Kullback-Leibler divergence of predictions, top-1 agreement: how far two models'
        next-token distributions lie apart -> CacheEffect
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Entries, LayerCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.models.lm import CausalLM

MakeCache = Callable[..., LayerCache]
"""One layer's cache from (batch, capacity, kv_heads, head_dim)."""


@dataclass(frozen=True)
class CacheEffect:
    """One text through one kind of cache; the module's head explains the numbers."""

    loss: float
    divergence: float
    same_first: float
    key_error: float
    value_error: float
    bytes: int


class _Watched:
    """A layer's cache that also measures its rounding."""

    def __init__(self, cache: LayerCache) -> None:
        self.cache, self.sums = cache, []

    def __getattr__(self, name: str) -> object:
        return getattr(self.cache, name)

    def update(self, keys: Tensor, values: Tensor, positions: Tensor) -> Entries:
        """As the cache's, with the squares of errors and of vectors noted."""
        found = self.cache.update(keys, values, positions)
        for exact, back in ((keys, found[0]), (values, found[1])):
            squares = (exact - back).square().sum(), exact.square().sum()
            self.sums.append([float(square) for square in squares])
        return found


@torch.no_grad()
def _predictions(
    model: CausalLM, tokens: Int[Tensor, " t"], make: MakeCache
) -> tuple[Float[Tensor, "s vocab"], list[float], int]:
    caches = []
    for layer in model.spec.layers:
        mixer = layer.mixer
        cache = make(1, len(tokens) - 1, mixer.kv_heads, mixer.head_dim)
        caches.append(_Watched(cache))
    logits = model(tokens[None, :-1], cache=ModelCache(caches))[0]
    sums = torch.tensor([watched.sums for watched in caches]).sum(0)  # keys, values
    errors = (sums[:, 0] / sums[:, 1]).sqrt().tolist()
    return logits.log_softmax(-1), errors, sum(w.cache.nbytes for w in caches)


def cache_effects(
    model: CausalLM, tokens: Int[Tensor, " t"], kinds: Mapping[str, MakeCache]
) -> dict[str, CacheEffect]:
    """Run one text through a model with each kind of cache, beside an exact one.

    Args:
        model: whose layers all keep keys and values of every token, in float32.
        tokens: the text; 2 or more.
        kinds: name -> one layer's cache, from (batch, capacity, kv_heads, head_dim).

    Returns:
        name -> what it changed.

    Raises:
        ValueError: fewer than 2 tokens.

    *Cost*: a forward pass for each kind, and one more.

    >>> from course_lib.layers.caches.quantised import QuantisedCache
    >>> from course_lib.models.build import build_model
    >>> from course_lib.specs.small import small_llama
    >>> model = build_model(small_llama(16, layers=1, heads=2, vocab=11)).eval()
    >>> found = cache_effects(model, torch.arange(9), {"int8": QuantisedCache})
    >>> found["int8"].bytes, 0 < found["int8"].key_error < 0.01
    (384, True)
    """
    if len(tokens) < 2:
        raise ValueError(f"{len(tokens)} tokens: allowed are 2 and more")
    exact, _, _ = _predictions(model, tokens, ContiguousCache)
    found = {}
    for name, make in kinds.items():
        got, (keys, values), held = _predictions(model, tokens, make)
        found[name] = CacheEffect(
            loss=-float(got.gather(1, tokens[1:, None]).mean()),
            divergence=float((exact.exp() * (exact - got)).sum(-1).mean()),
            same_first=float((exact.argmax(-1) == got.argmax(-1)).float().mean()),
            key_error=keys,
            value_error=values,
            bytes=held,
        )
    return found
