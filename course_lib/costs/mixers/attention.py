"""Costs of softmax attention: MHA, GQA, MQA, with a sliding window, an output gate,
query-key norms, sinks, T5's biases, or keys and values in one (K = V).

Symbols: d model width, h heads, g KV groups, k head width, v value width.

Terms:
    attention parameters, QKV and output projections: d h k + d g (k + v) + h v d
        weights, and what a token caches -> weights, token_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import AttentionSpec
from course_lib.specs.unions import of_word

PART = "attention"


def weights(mixer: AttentionSpec, width: Number) -> Number:
    """Matrix weights: d h k + h v d for queries and output, d g (k + v) for keys and
    values (d g k where they are one), and d h v more for an output gate.
    """
    return query_weights(mixer, width) + key_value_weights(mixer, width)


def query_weights(mixer: AttentionSpec, width: Number) -> Number:
    """Query and output projections, and the output gate's: d h k + h v d (+ d h v). In
    cross attention, the decoder token's part.
    """
    gate = width * mixer.heads * mixer.value_dim if mixer.output_gate else 0
    return width * mixer.heads * (mixer.head_dim + mixer.value_dim) + gate


def key_value_weights(mixer: AttentionSpec, width: Number) -> Number:
    """Key and value projections: d g (k + v), or d g k where keys and values are one,
    or none where they are borrowed.
    In cross attention, the encoder token's part.
    """
    return width * projected_elements(mixer)


def vectors(mixer: AttentionSpec, width: Number) -> Number:
    """Biases (h k + g k + g v, h v more for an output gate, d behind the output), norms
    on queries and keys, a sink a head, and T5's table of position biases.
    """
    queries, own = mixer.heads * mixer.head_dim, not mixer.borrows_kv
    keys = mixer.kv_heads * mixer.head_dim if own else 0
    split = own and not mixer.shared_kv
    values = mixer.kv_heads * mixer.value_dim if split else 0
    gate = mixer.heads * mixer.value_dim if mixer.output_gate else 0
    norms = of_word(
        "qk_norm",
        mixer.qk_norm,
        {
            "none": 0,
            "head": (1 + own) * mixer.head_dim,
            "width": queries + keys,
            "turned": (1 + own) * mixer.head_dim,
            "length": 0,
        },
    )
    biases = (queries + keys + values + gate if mixer.bias_qkv else 0) + (
        width if mixer.bias_out else 0
    )
    return norms + biases + mixer.heads * (int(mixer.sinks) + mixer.relative_buckets)


def flops_per_pair(mixer: AttentionSpec, *, absorbed: bool = False) -> Number:
    """The score and the weighted sum: 2 h (k + v)."""
    return 2 * mixer.heads * (mixer.head_dim + mixer.value_dim)


def step_flops(mixer: AttentionSpec) -> Number:
    """None: attention has no recurrent state."""
    return 0


def token_elements(mixer: AttentionSpec, *, latent: bool = True) -> Number:
    """One key and one value a group: g (k + v), or g k where they are one. Nothing
    where they are borrowed, and nothing
    without a causal mask, since nothing is decoded from such a layer.
    """
    return key_value_elements(mixer) if mixer.causal else 0


def key_value_elements(mixer: AttentionSpec) -> Number:
    """Elements of a token's keys and values, g (k + v), or g k where they are one: in
    cross attention, of each token of the source.
    """
    if mixer.kept_apart and not mixer.borrows_kv:
        return mixer.kv_heads * (mixer.head_dim + mixer.value_dim)
    return projected_elements(mixer)


def projected_elements(mixer: AttentionSpec) -> Number:
    """Elements that the key and value projections make of a token: g (k + v), or g k
    where both are one.
    """
    if mixer.borrows_kv:
        return 0
    values = 0 if mixer.shared_kv else mixer.value_dim
    return mixer.kv_heads * (mixer.head_dim + values)


def state_elements(mixer: AttentionSpec, width: Number) -> tuple[Number, Number]:
    """None: attention has no recurrent state."""
    return 0, 0
