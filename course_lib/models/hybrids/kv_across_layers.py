"""Keys and values shared across layers (CLA): a layer attends with queries of its own
to the keys and values that an earlier layer has made and cached.

Symbols: l layers, g KV groups, k key width. Which layers borrow is the field
`borrows_kv` of `AttentionSpec`; they borrow from the nearest layer below that has its
own keys and the same window, as Gemma 3n and 4 do.

A borrowing layer has no W_K and W_V, and the cache holds nothing for it: with every
other layer borrowing, half the bytes a token.

Terms:
    CLA, cross-layer attention, KV sharing across layers: layers attend to keys and
        values that an earlier layer has made -> BorrowedKVLM, lenders
"""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import Entries
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.layers.positions.rope import apply_rope
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.hybrids.plain_blocks import check_plain
from course_lib.models.layer_factory import (
    InitialScale,
    build_cache,
    build_norm,
    initialise,
)
from course_lib.models.lm import Logits
from course_lib.specs.records import LayerSpec, ModelSpec


def lenders(layers: Sequence[LayerSpec]) -> list[int]:
    """For each layer the one whose keys and values it attends to; itself where it has
    its own.

    Raises:
        ValueError: a layer borrows, and none below with the same window has its own.

    >>> from course_lib.specs.small import small_llama
    >>> lenders(borrowing(small_llama(layers=5), every=2).layers)
    [0, 0, 2, 2, 4]
    """
    own, found = {}, []
    for index, layer in enumerate(layers):
        window = layer.mixer.window
        if not layer.mixer.borrows_kv:
            own[window] = index
        elif window not in own:
            raise ValueError(
                f"layer {index} borrows keys and values: no layer below with window "
                f"{window} has its own"
            )
        found.append(own[window])
    return found


def borrowing(spec: ModelSpec, every: int) -> ModelSpec:
    """The same model, in which only layers 0, `every`, 2 `every`, ... have keys and
    values of their own.

    *Source*: Brandon et al. 2024, section 2.2, arXiv:2405.12981.
    """
    layers = tuple(
        replace(layer, mixer=replace(layer.mixer, borrows_kv=index % every != 0))
        for index, layer in enumerate(spec.layers)
    )
    return replace(spec, layers=layers)


class BorrowedKVLM(nn.Module):
    """A causal model in which some layers have no keys and values of their own.

    Args:
        spec: of a decoder with pre-norm attention blocks; `borrows_kv` says which
            layers borrow.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: a layer borrows from nobody, or has other parts than a plain block.

    *Cost*: `param_count`, `flops_per_token` and `cache_bytes` of the spec: borrowers
        add nothing to the cache.
    *Source*: Brandon et al. 2024, arXiv:2405.12981.

    >>> from course_lib.specs.small import small_llama
    >>> model = BorrowedKVLM(borrowing(small_llama(8, layers=4, heads=2), every=2))
    >>> len(model.make_cache(1, 9))
    2
    """

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        super().__init__()
        self.spec, self.lenders = spec, lenders(spec.layers)
        whole = [
            replace(layer, mixer=replace(layer.mixer, borrows_kv=False))
            for layer in spec.layers
        ]
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.blocks = build_blocks(spec.width, whole)
        self.final_norm = build_norm(spec.width, spec.final_norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        check_plain(self)
        for index, lender in enumerate(self.lenders):
            if lender != index:
                del self.blocks[index].mixer.wk, self.blocks[index].mixer.wv
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
    ) -> Logits:
        """Score the vocabulary after each token; arguments as in `CausalLM`."""
        start = 0 if cache is None else cache.length
        positions = checked_positions(tokens, positions, start)
        x, shared = self.embed(tokens, positions), PerForward(tokens, positions)
        caches = iter([None] * len(self.blocks) if cache is None else cache)
        made: dict[int, Entries] = {}
        for index, block in enumerate(self.blocks):
            lender, normed = self.lenders[index], block.mixer_norm(x)
            if lender == index:
                queries, *new = block.mixer.project(normed, positions, shared)
                own = next(caches)
                entries = (*new, positions)
                made[index] = entries if own is None else own.update(*entries)
            else:
                queries = _queries(block.mixer, normed, positions, shared)
            x = x + _attend(block.mixer, queries, positions, made[lender], shared)
            x = x if block.ffn is None else x + block.ffn(block.ffn_norm(x))
        return self.head(self.final_norm(x))

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache for each layer that has keys and values of its own."""
        own = [self.spec.layers[index] for index in sorted(set(self.lenders))]
        return build_cache(self.spec.width, own, batch, capacity, self.head.weight)


def _queries(mixer: nn.Module, x: Tensor, positions: Tensor, shared: PerForward):
    queries = mixer.queries(x)
    if mixer.rope is None:
        return queries
    tables = shared.rope_tables.get(mixer.rope) or shared.make_rope_tables(
        mixer.rope, positions, x.dtype
    )
    return apply_rope(queries, *tables, mixer.rope.pairing)


def _attend(
    mixer: nn.Module,
    queries: Float[Tensor, "b t h k"],
    positions: Int[Tensor, "b t"],
    entries: Entries,
    shared: PerForward,
) -> Float[Tensor, "b t d"]:
    keys, values, key_positions = entries
    kind = MaskKind(mixer.mask_mod, mixer.window, None, tuple, keys.shape[1])
    y, _ = mixer.mix((queries, keys, values), kind, positions, key_positions, shared)
    return mixer.wo(y.flatten(2))
