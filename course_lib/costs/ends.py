"""Costs of what stands before the first layer and after the last: token embedding,
positions, patches, and the head.

Symbols: d model width, |V| tokens in the vocabulary.

Terms:
    embedding parameters, head parameters: the tables and matrices before the first
        layer and after the last -> end_params, head_weights
"""

from collections import Counter

from course_lib.costs.arithmetic import Number
from course_lib.costs.norms import norm_params
from course_lib.specs.records import ModelSpec
from course_lib.specs.unions import of_word


def head_weights(spec: ModelSpec) -> Number:
    """Matrix weights of the head: d |V| for a language model, d (d + |V|) for a masked
    one (and d (d + outputs) of a second head behind a pooler), d^2 for a pooler, d
    outputs for a classifier or a projection, and d^2 for a layer before it.
    """
    before = 0 if spec.transform is None else spec.width
    columns = {
        "lm": before + spec.vocab,
        "mlm": spec.width + spec.vocab + second_head_columns(spec),
        "pooler": spec.width,
        "classifier": before + spec.outputs,
        "token_classifier": before + spec.outputs,
        "projection": spec.outputs,
        "none": 0,
    }
    return spec.width * of_word("head", spec.head, columns)


def head_positions(spec: ModelSpec, tokens: Number, logit_positions: Number) -> Number:
    """In how many places of a text of `tokens` tokens the head runs: where logits are
    wanted, in every one for a token classifier, once for the others.
    """
    places = {
        "lm": logit_positions,
        "mlm": logit_positions,
        "token_classifier": tokens,
        "pooler": 1,
        "classifier": 1,
        "projection": 1,
        "none": 1,
    }
    return of_word("head", spec.head, places)


def second_head_columns(spec: ModelSpec) -> Number:
    """A pooler's columns and the outputs behind it, where a masked model has them."""
    return spec.width + spec.outputs if spec.head == "mlm" and spec.outputs else 0


def end_params(spec: ModelSpec) -> Counter[str]:
    """Parameters before the first layer and after the last by part, for one stack or
    for two: "embedding", "norm", "head".
    """
    width, tables = spec.width, spec.embeddings
    stacks = 2 if spec.encoder else 1
    rows = spec.vocab + tables.token_types + stacks * tables.learned_positions
    norms = norm_params(tables.norm, width) + norm_params(spec.final_norm, width)
    return Counter(
        embedding=rows * width + patch_params(spec),
        norm=stacks * norms,
        head=head_params(spec),
    )


def patch_params(spec: ModelSpec) -> Number:
    """The map from a patch's pixels to the width, and the class token."""
    if spec.patches is None:
        return 0
    pixels = spec.patches.channels * spec.patches.patch**2
    return spec.width * (pixels + spec.patches.bias + spec.patches.class_token)


def patch_flops(spec: ModelSpec, tokens: Number) -> Number:
    """FLOPs of mapping an image of `tokens` tokens to the width; the class token is
    none of its patches.
    """
    if spec.patches is None:
        return 0
    patches = tokens - spec.patches.class_token
    return 2 * patches * spec.width * spec.patches.channels * spec.patches.patch**2


def head_params(spec: ModelSpec) -> Number:
    """Parameters of the head: no table where it is the token embedding. CLIP's two
    projections share one temperature.
    """
    if spec.head in ("lm", "mlm"):
        table = int(spec.embeddings.tied) * spec.width * spec.vocab
        biases = int(spec.embeddings.head_bias) * spec.vocab + second_head_columns(spec)
        return head_weights(spec) - table + biases + transform_vectors(spec)
    outputs = transform_vectors(spec) + int(spec.outputs_bias) * spec.outputs
    biases = of_word(
        "head",
        spec.head,
        {
            "pooler": spec.width,
            "classifier": outputs,
            "token_classifier": outputs,
            "projection": 0,
            "none": 0,
        },
    )
    temperature = int(spec.head == "projection" and spec.vision is not None)
    return head_weights(spec) + biases + temperature


def transform_vectors(spec: ModelSpec) -> Number:
    """Biases and norm of the layer before a head's map; `head_weights` has its
    matrix.
    """
    if spec.transform is None:
        return 0
    return spec.transform.bias * spec.width + norm_params(
        spec.transform.norm, spec.width
    )
