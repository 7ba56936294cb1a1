"""Costs of a dense feed-forward network: MLP, gated (GLU, SwiGLU), RWKV's channel mix.

Symbols: d model width, f FFN width.

Terms:
    FFN parameters: two or three matrices of d f weights -> weights, params
"""

from collections import Counter

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import FFNSpec
from course_lib.specs.unions import of_word

MATRICES = {"mlp": 2, "glu": 3, "channel_mix": 2}
"""Matrices of d f weights: one or two in, one out."""


def weights(ffn: FFNSpec, width: Number) -> Number:
    """Matrix weights: 2 d f, gated 3 d f; RWKV's channel mix has a receptance too,
    2 d f + d^2.
    """
    receptance = width * width if ffn.kind == "channel_mix" else 0
    return of_word("kind", ffn.kind, MATRICES) * width * ffn.width + receptance


def vectors(ffn: FFNSpec, width: Number) -> Number:
    """Biases, f a matrix in and d behind the one out; RWKV's channel mix has two
    token-shift mixes, 2 d.
    """
    mixes = 2 * width if ffn.kind == "channel_mix" else 0
    inputs = of_word("kind", ffn.kind, MATRICES) - 1
    return mixes + (inputs * ffn.width + width if ffn.bias else 0)


def network_params(ffn: FFNSpec, width: Number) -> Number:
    """Parameters of one network: matrices and vectors."""
    return weights(ffn, width) + vectors(ffn, width)


def params(ffn: FFNSpec, width: Number) -> Counter[str]:
    """Parameters by part: all of them "ffn"."""
    return Counter({"ffn": network_params(ffn, width)})


def idle_params(ffn: FFNSpec, width: Number) -> Number:
    """None: every token visits the whole network."""
    return 0


def weights_read(ffn: FFNSpec, width: Number, batch: Number) -> Number:
    """Matrix weights a pass reads: all, however many tokens share it."""
    return weights(ffn, width)
