"""Costs of multi-head latent attention (MLA), whose heads share one cached vector a
token.

Symbols: d model width, h heads, q query rank (`q_rank`), r rank of the latent
(`kv_rank`), n and p key widths without and with position (`nope_dim`, `rope_dim`), v
value width, s tokens in the cache.

Source: DeepSeek-AI 2024, DeepSeek-V2, arXiv 2405.04434, section 2.1.

Terms:
    MLA decode cost: FLOPs of a step by form: plain, absorbed, expanded ->
        latent_decode_flops
"""

from course_lib.costs.arithmetic import Number
from course_lib.costs.mixers import indexer
from course_lib.specs.records import LatentAttentionSpec

PART = "attention"


def weights(mixer: LatentAttentionSpec, width: Number) -> Number:
    """Matrix weights: d q + q h (n + p) for queries, or d h (n + p) without a query
    rank; d (r + p) down, r h (n + v) up, h v d out; and the indexer's.
    """
    q, out = mixer.q_rank, mixer.heads * mixer.value_dim * width
    turned = mixer.heads * (mixer.nope_dim + mixer.rope_dim)
    queries = (width if q is None else q) * turned
    return queries + down_weights(mixer, width) + up_weights(mixer) + out


def down_weights(mixer: LatentAttentionSpec, width: Number) -> Number:
    """Weights that belong to no head, so that heads cannot be split over devices by
    them: down to the latents, d q + d (r + p), and the indexer's.
    """
    q = mixer.q_rank
    down = width * ((q or 0) + mixer.kv_rank + mixer.rope_dim)
    return down + indexer.weights(mixer.indexer, q or width, width)


def up_weights(mixer: LatentAttentionSpec) -> Number:
    """Weights from the latent to every head's key and value: r h (n + v)."""
    return mixer.kv_rank * mixer.heads * (mixer.nope_dim + mixer.value_dim)


def vectors(mixer: LatentAttentionSpec, width: Number) -> Number:
    """Norms of the two latents, q + r, and biases of the ways down and out."""
    ranks = (mixer.q_rank or 0) + mixer.kv_rank
    biases = ranks + mixer.rope_dim + width if mixer.bias else 0
    return ranks + biases + indexer.vectors(mixer.indexer)


def flops_per_pair(mixer: LatentAttentionSpec, *, absorbed: bool = False) -> Number:
    """The score and the weighted sum: 2 h (n + p + v), or absorbed 2 h (r + p + r),
    where both products run against the latent itself.
    """
    r, p = mixer.kv_rank, mixer.rope_dim
    if absorbed:
        return 2 * mixer.heads * (r + p + r)
    return 2 * mixer.heads * (mixer.nope_dim + p + mixer.value_dim)


def step_flops(mixer: LatentAttentionSpec) -> Number:
    """None: attention has no recurrent state."""
    return 0


def token_elements(mixer: LatentAttentionSpec, *, latent: bool = True) -> Number:
    """The latent and one rotary key, r + p; with `latent` False the keys and values
    multiplied out of them, h (n + p + v). An indexer keeps its key beside either.
    """
    index = indexer.token_elements(mixer.indexer)
    if latent:
        return mixer.kv_rank + mixer.rope_dim + index
    wide = mixer.nope_dim + mixer.rope_dim + mixer.value_dim
    return mixer.heads * wide + index


def state_elements(mixer: LatentAttentionSpec, width: Number) -> tuple[Number, Number]:
    """None: attention has no recurrent state."""
    return 0, 0


def latent_decode_flops(mixer: LatentAttentionSpec, context: int) -> dict[str, int]:
    """FLOPs of one token's step through one layer, past the projections that every form
    has.

    *Equation*: with s = context, up = 2 r h (n + v), pair = 2 h (n + p + v) and
        pair_absorbed = 2 h (r + p + r),
        plain     s up + s pair            rebuild K and V of all s tokens, then attend
        absorbed  up   + s pair_absorbed   move the query and the output, attend on the
                                           latents
        expanded  up   + s pair            cache K and V in full instead: h (n + p + v)
                                           numbers a token

    Args: `mixer` the layer's spec; `context` s, the new token among them.
    Returns: FLOPs by form.

    >>> from course_lib.specs.loader import load_spec
    >>> mixer = load_spec("deepseek-v3").layers[0].mixer
    >>> flops = latent_decode_flops(mixer, context=4096)
    >>> {form: f"{count / 1e9:.2f} GFLOP" for form, count in flops.items()}
    {'plain': '137.77 GFLOP', 'absorbed': '1.17 GFLOP', 'expanded': '0.37 GFLOP'}
    """
    up, pairs = 2 * up_weights(mixer), context * flops_per_pair(mixer)
    return {
        "plain": context * up + pairs,
        "absorbed": up + context * flops_per_pair(mixer, absorbed=True),
        "expanded": up + pairs,
    }
