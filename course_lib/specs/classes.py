"""Which class of `transformers` a config is counted as, and what that class has after
its last layer.

A family's parser reads the whole model. Its table goes from the end of a class's name
("ForTokenClassification") to the `Ends` of that class; the first entry is counted where
the file names no class. `counted_as` turns the one into the other.

Terms:
    architectures, model class: which class the config names decides the head that is
        counted -> counted_as
    task head, classification head: a map from hidden states to labels in place of the
        language-model head -> Ends
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from course_lib.specs.defaults import TABLE
from course_lib.specs.reader import Config, shown
from course_lib.specs.records import ModelSpec, TransformSpec

LABELS = -1
"""In place of a number of outputs: as many as the config has labels."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What a class has: which stack of the whole model, and which head on it.

    `before` stands ahead of the map to the outputs: a "dense" layer with a tanh
    (BERT's pooler, RoBERTa's and T5's classification heads), the "transform" that the
    family's masked model has, or nothing. `outputs` may be `LABELS`.
    """

    head: str
    outputs: int = 0
    bias: bool = True
    before: Literal["", "dense", "transform"] = ""
    stack: Literal["whole", "encoder", "decoder", "text", "vision"] = "whole"


LM = Ends(head="lm")
BACKBONE = Ends(head="none")
TOKENS = Ends(head="token_classifier", outputs=LABELS)
SPANS = Ends(head="token_classifier", outputs=2)
DECODER = {
    "ForCausalLM": LM,
    "LMHeadModel": LM,
    "ForConditionalGeneration": LM,
    "Model": BACKBONE,
    "ForSequenceClassification": Ends(head="classifier", outputs=LABELS, bias=False),
    "ForTokenClassification": TOKENS,
    "ForQuestionAnswering": SPANS,
}
"""Decoders of one stack: what `transformers` shares among them."""


def counted_as(
    config: Config, whole: ModelSpec, table: Mapping[str, Ends] = DECODER
) -> ModelSpec:
    """Return the model of the class that a config names, from its family's whole model.

    Args: `config` with `architectures`, of which the first counts; `whole` as the
        family's parser reads it; `table` of the family's classes.
    Raises: ValueError if `architectures` is no list of names, or the labels no number.

    >>> config = Config({"model_type": "llama", "architectures": ["LlamaModel"]})
    >>> task_of(config, "LlamaForTokenClassification"), task_of(config, "LlamaModel")
    ('ForTokenClassification', 'Model')
    """
    named = config.names("architectures")
    task = task_of(config, named[0]) if named else ""
    known = task in table
    task = task if known else next(name for name in table)
    if known:
        said = f"{shortened(named[0])}, the class that the file names"
    elif named:
        said = f"a ...{task}, since the file's {shortened(named[0])} is not known"
    else:
        said = f"a ...{task}, since the file names no class"
    return replace(with_ends(config, whole, table[task]), counted=said)


def task_of(config: Config, name: str) -> str:
    """Return what a class's name says after its family's prefix."""
    prefix = TABLE["prefixes"].get(config.model_type, "")
    if prefix and name[: len(prefix)] == prefix:
        return name[len(prefix) :]
    family, found, task = name.rpartition("For")
    return f"For{task}" if found and family else ""


def with_ends(config: Config, whole: ModelSpec, ends: Ends) -> ModelSpec:
    """Return the stack that a class has, with its head."""
    spec = stack_of(whole, ends.stack)
    if ends.head in ("lm", "mlm"):
        kept = spec.transform if ends.before == "transform" else None
        return replace(spec, head=ends.head, transform=kept, outputs=ends.outputs)
    tables = replace(spec.embeddings, tied=False, head_bias=False, head_shift=False)
    return replace(
        spec,
        head=ends.head,
        embeddings=tables,
        transform=transform_of(spec, ends.before),
        outputs=outputs_of(config, spec, ends),
        outputs_bias=ends.bias,
        logit_scale=1.0,
        logit_softcap=None,
    )


def outputs_of(config: Config, spec: ModelSpec, ends: Ends) -> int:
    """Return the columns of a head: the config's labels, those of a projection that the
    family has read, or the class's own number.
    """
    if ends.outputs == LABELS:
        return labels(config)
    return spec.outputs if ends.head == "projection" else ends.outputs


def transform_of(spec: ModelSpec, before: str) -> TransformSpec | None:
    """Return the layer before a head's map."""
    if before == "dense":
        return TransformSpec(activation="tanh", norm=None)
    return spec.transform if before == "transform" else None


def stack_of(whole: ModelSpec, stack: str) -> ModelSpec:
    """Return a stack of a model of two: its encoder, its decoder, or a tower alone."""
    if stack == "encoder":
        return replace(whole, layers=whole.encoder, encoder=())
    if stack == "decoder":
        return replace(whole, encoder=())
    if stack == "text":
        return replace(whole, vision=None)
    if stack == "vision" and whole.vision is not None:
        return replace(whole.vision, name=whole.name, family=whole.family)
    return whole


def labels(config: Config) -> int:
    """Return the number of classes: as many as `id2label` names, or `num_labels`, or
    two.
    """
    named = config.get("id2label", {})
    if not isinstance(named, Mapping):
        raise ValueError(f"config field 'id2label': {shown(named)} is not a mapping")
    return len(named) or config.count("num_labels", 2)


def shortened(name: str) -> str:
    """Return a name from a file, at most 60 letters of it."""
    return name if len(name) <= 60 else f"{name[:57]}..."
