"""How the weights of a file are stored, as a record.

Terms:
    quantised checkpoint: weights stored in few bits, with scales -> Quantisation
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """How the weights of a file are stored (`quantization_config`).

    `method` is `quant_method`, in the file's words. `bits` of a quantised weight, with
    its share of scales; None where the method is named and not counted. `kept` are
    patterns of modules that stay as they are, `targets` of those that are converted
    (none: all linear maps). `experts_only`: the method converts
    routed experts and nothing else (MXFP4). `head`: the language head is converted too.
    """

    method: str
    bits: float | None
    kept: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    experts_only: bool = False
    head: bool = False
