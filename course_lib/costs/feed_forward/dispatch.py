"""From the record of a layer's feed-forward part to the file that knows its costs; a
record that no file prices is refused by name. None, a layer without such a part, costs
nothing.

Terms:
    cost of a feed-forward part: which file prices a record, and a refusal where none
        does -> ffn_weights, ffn_params
"""

from collections import Counter

from course_lib.costs.arithmetic import Number
from course_lib.costs.feed_forward import dense, moe
from course_lib.specs.records import FFNSpec, MoESpec
from course_lib.specs.unions import of_record

MECHANISMS = {FFNSpec: dense, MoESpec: moe}


def ffn_weights(ffn: FFNSpec | MoESpec | None, width: Number) -> Number:
    """Matrix weights that one token is multiplied by, of a mixture those of its top_k
    experts.
    """
    if ffn is None:
        return 0
    return of_record("ffn", ffn, MECHANISMS).weights(ffn, width)


def ffn_params(ffn: FFNSpec | MoESpec | None, width: Number) -> Counter[str]:
    """All parameters, by part: "ffn", or "experts", "router" and "shared_experts"."""
    if ffn is None:
        return Counter()
    return of_record("ffn", ffn, MECHANISMS).params(ffn, width)


def idle_params(ffn: FFNSpec | MoESpec | None, width: Number) -> Number:
    """Parameters of the routed experts that one token does not visit."""
    if ffn is None:
        return 0
    return of_record("ffn", ffn, MECHANISMS).idle_params(ffn, width)


def ffn_weights_read(
    ffn: FFNSpec | MoESpec | None, width: Number, batch: Number
) -> Number:
    """Matrix weights that a pass of `batch` tokens reads, an expected count where
    experts are routed.
    """
    if ffn is None:
        return 0
    return of_record("ffn", ffn, MECHANISMS).weights_read(ffn, width, batch)
