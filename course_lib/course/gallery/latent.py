"""Multi-head latent attention (MLA) as rows."""

from collections.abc import Iterator

from course_lib.costs.mixers.dispatch import mixer_params, token_elements
from course_lib.course.gallery.attention import BYTES, unusual
from course_lib.course.gallery.norms import norm_text
from course_lib.course.gallery.positions import rope_rows
from course_lib.course.gallery.rows import Amount, Part, Row, plural
from course_lib.specs.records import IndexerSpec, LatentAttentionSpec


def latent_part(
    latent: LatentAttentionSpec, width: int, key: str, elsewhere: str
) -> Part:
    """Latent attention; its positions are its own."""
    shape = (
        f"q t×{latent.heads}×{latent.nope_dim + latent.rope_dim}  "
        f"c t×{latent.kv_rank}  k rotary t×{latent.rope_dim}"
    )
    amounts = (
        Amount("params", "Parameters", mixer_params(latent, width), "parameters"),
        Amount("kept", "Keeps", token_elements(latent) * BYTES, "bytes per token"),
    )
    return Part(key, "attention", tuple(latent_rows(latent)), amounts, shape, latent)


def latent_rows(latent: LatentAttentionSpec) -> Iterator[Row]:
    """The facts of one latent attention, the kind first."""
    yield Row("kind", "Token mixer", "Multi-head latent attention (MLA)")
    widths = f"{latent.nope_dim} + {latent.rope_dim} rotary"
    yield Row(
        "heads", "Query heads", f"{plural(latent.heads, 'query head')} of {widths}"
    )
    queries = "queries straight from the width"
    if latent.q_rank is not None:
        queries = f"query latent of {latent.q_rank:,}"
    yield Row("q_rank", "Query latent", queries)
    yield Row("kv_rank", "KV latent", f"one KV latent of {latent.kv_rank:,}, all heads")
    yield Row(
        "rope_key", "Rotary key", f"one rotary key of {latent.rope_dim}, all heads"
    )
    yield Row("value_dim", "Value width", f"values of {latent.value_dim} a head")
    if latent.indexer is None:
        yield Row("mask", "Mask", "causal, attends to all before it")
    else:
        yield from indexer_rows(latent.indexer)
    if latent.rope is not None:
        yield from rope_rows(latent.rope, latent.rope_dim)
    else:
        yield Row("position", "Positions", "no positions (NoPE)")
    yield Row(
        "latent_norm", "Norm of the latents", f"latents: {norm_text(latent.norm)}"
    )
    plain = latent.nope_dim + latent.rope_dim
    if latent.scale is not None and unusual(latent.scale, plain):
        yield Row("scale", "Scale of the scores", f"scores × {latent.scale:g}")
    if latent.bias:
        yield Row("bias", "Biases", "biases: projections into the latents, output")


def indexer_rows(indexer: IndexerSpec) -> Iterator[Row]:
    """Which keys a query attends to (DSA)."""
    yield Row("mask", "Mask", f"causal, the {indexer.top_k:,} keys that score best")
    if indexer.own:
        heads = f"{plural(indexer.heads, 'index head')} of {indexer.head_dim}"
        yield Row("indexer", "Indexer", f"indexer: {heads}, one key")
        if indexer.pairing == "interleaved":
            yield Row("index_turn", "Turn of the index", "the index turns neighbours")
    else:
        yield Row("indexer", "Indexer", "the pick of an earlier layer's indexer")
