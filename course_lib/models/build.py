"""From a specification to the class that builds it."""

from torch import nn

from course_lib.models.encoder import Encoder, MaskedLM
from course_lib.models.encoder_decoder import EncoderDecoder
from course_lib.models.lm import CausalLM
from course_lib.specs.records import ModelSpec, is_causal


def build_model(spec: ModelSpec) -> nn.Module:
    """A fresh model of the kind that the spec describes.

    Args:
        spec: with an `encoder`, of an `EncoderDecoder`; with the head "mlm", of a
            `MaskedLM`; with layers that are not causal, of an `Encoder`; else of a
            `CausalLM`.

    Raises:
        ValueError: the spec has a part that the class does not build; the message names
        the field.

    >>> import torch
    >>> from course_lib.specs.loader import load_spec
    >>> with torch.device("meta"):
    ...     [type(build_model(load_spec(name))).__name__ for name in ("t5-base", "bert-base", "gpt2")]
    ['EncoderDecoder', 'Encoder', 'CausalLM']
    """
    if spec.encoder:
        return EncoderDecoder(spec)
    if spec.head == "mlm":
        return MaskedLM(spec)
    causal = all(is_causal(layer.mixer) for layer in spec.layers)
    return CausalLM(spec) if causal else Encoder(spec)
