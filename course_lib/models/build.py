"""`build_model`: from a specification to the model that it describes.

Terms:
    model from a config: the class that a specification, read from a `config.json`,
        builds -> build_model
"""

from torch import nn

from course_lib.models.encoder import Encoder, MaskedLM
from course_lib.models.encoder_decoder import EncoderDecoder
from course_lib.models.layer_factory import InitialScale
from course_lib.models.lm import CausalLM
from course_lib.specs.records import ModelSpec, is_causal


def build_model(spec: ModelSpec, *, std: InitialScale = "fan_in") -> nn.Module:
    """A fresh model of the kind that the spec describes.

    Args:
        spec: with an `encoder`, of an `EncoderDecoder`; with the head "mlm", of a
            `MaskedLM`; with layers that are not causal, of an `Encoder`; else of a
            `CausalLM`.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the spec has a part that the class does not build; the message names
        the field.

    >>> import torch
    >>> from course_lib.specs.loader import load_spec
    >>> specs = [load_spec(name) for name in ("t5-base", "bert-base", "gpt2")]
    >>> with torch.device("meta"):
    ...     [type(build_model(spec)).__name__ for spec in specs]
    ['EncoderDecoder', 'Encoder', 'CausalLM']
    """
    if spec.encoder:
        return EncoderDecoder(spec, std=std)
    if spec.head == "mlm":
        return MaskedLM(spec, std=std)
    causal = all(is_causal(layer.mixer) for layer in spec.layers)
    return CausalLM(spec, std=std) if causal else Encoder(spec, std=std)
