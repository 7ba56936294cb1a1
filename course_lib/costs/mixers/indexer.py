"""Costs of DeepSeek's indexer (DSA): small heads that score every key, so that
attention looks at few.

Symbols: d model width, q query rank, h index heads, k width of an index head.

Source: DeepSeek-AI 2025, DeepSeek-V3.2, arXiv 2512.02556.

Terms:
    indexer cost, DSA cost: what choosing the keys takes, a pair of tokens, whatever is
        chosen -> weights, flops_per_pair, token_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import IndexerSpec


def weights(indexer: IndexerSpec | None, q_rank: Number, width: Number) -> Number:
    """Matrix weights: q h k from the query's latent, d k for the key, d h for a weight
    a head; none where there is no indexer or the pick is an earlier layer's.
    """
    if indexer is None or not indexer.own:
        return 0
    key = width * (indexer.head_dim + indexer.heads)
    return q_rank * indexer.heads * indexer.head_dim + key


def vectors(indexer: IndexerSpec | None) -> Number:
    """A LayerNorm on the key, gain and shift: 2 k."""
    return 2 * indexer.head_dim if indexer is not None and indexer.own else 0


def flops_per_pair(indexer: IndexerSpec | None) -> Number:
    """The scores of all heads, 2 h k, and their weighted sum, 2 h. ReLU and the pick
    itself are left out, as softmax is.
    """
    if indexer is None or not indexer.own:
        return 0
    return 2 * indexer.heads * (indexer.head_dim + 1)


def token_elements(indexer: IndexerSpec | None) -> Number:
    """One key for all index heads: k."""
    return indexer.head_dim if indexer is not None and indexer.own else 0
