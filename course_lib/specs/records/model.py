"""What a model is, as far as its costs and its parts go: a stack of layers between an
embedding and a head.

A layer mixes tokens (a record of the union `Mixer`), may attend to an encoder
(`cross`), then works on each token by itself (`ffn`).

Symbols: d model width, contexts in tokens.
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized
from course_lib.specs.provenance import NOTHING_PUBLISHED, Published, Source
from course_lib.specs.records.attention import AttentionSpec
from course_lib.specs.records.embedding import PLAIN, EmbeddingSpec, TransformSpec
from course_lib.specs.records.feed_forward import FFNSpec, MoESpec
from course_lib.specs.records.mixer import Mixer
from course_lib.specs.records.norm import NormSpec
from course_lib.specs.records.quantisation import Quantisation
from course_lib.specs.records.side import SideSpec
from course_lib.specs.records.vision import PatchSpec


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One block. Norms: "pre" and "post" one a sublayer, "sandwich" two.

    "output": on what a sublayer adds (OLMo 2); "parallel": all parts read one norm, and
    their outputs are added together; "parallel_two": each its own. `mixer_norm` False:
    the mixer reads the stream as it is (ModernBERT's first layer). `residual_scale`: on
    what each part adds (Granite). "stream": the norms stand on the stream itself, and
    `stream_factors` (a, b of the mixer, c, d of the FFN) make a x + b part(x) of it
    (MiniMax-01); all 1 where None. `sides`: further parts, which are priced and drawn,
    but not built.
    """

    mixer: Mixer
    norm: NormSpec
    ffn: FFNSpec | MoESpec | None = None
    cross: AttentionSpec | None = None
    norm_layout: Literal[
        "pre", "post", "sandwich", "output", "stream", "parallel", "parallel_two"
    ] = "pre"
    mixer_norm: bool = True
    sides: tuple[SideSpec, ...] = ()
    residual_scale: float = 1.0
    stream_factors: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class PartSpec(Sized):
    """What stands beside a wrapper's language model: a tower (`spec`), a projector of
    `params` parameters, or a part that is named and not counted (neither).
    """

    name: str
    spec: "ModelSpec | None" = None
    params: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Sized):
    """A whole model: `layers` is its stack, or its decoder where `encoder` is filled.

    `head` says what follows the last layer: "lm" logits over the vocabulary to go on
    with, "mlm" those of a masked model, "pooler" a tanh layer on the first token,
    "classifier" a map of one vector and "token_classifier" of every vector to
    `outputs`, "projection" the same without a bias, or "none". A `transform` stands
    before the map. With "mlm", `outputs` are those of a second head behind a pooler
    (BERT's next sentence). `logit_scale` multiplies the logits.

    A two-tower model (CLIP) has its image tower in `vision`. A wrapper's spec is that
    of its language model, and `beside` holds its other parts. `counted` says which
    class the spec stands for, and how that is known. `quantisation` is how its file
    stores the weights, where it says so. `sides`: parts of the whole beside embedding,
    stack and head.
    """

    name: str
    family: str
    width: int
    vocab: int = 0
    layers: tuple[LayerSpec, ...]
    encoder: tuple[LayerSpec, ...] = ()
    embeddings: EmbeddingSpec = PLAIN
    final_norm: NormSpec | None = None
    head: Literal[
        "lm",
        "mlm",
        "pooler",
        "classifier",
        "token_classifier",
        "projection",
        "none",
    ] = "lm"
    transform: TransformSpec | None = None
    outputs: int = 0
    outputs_bias: bool = True
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    context: int | None = None
    patches: PatchSpec | None = None
    vision: "ModelSpec | None" = None
    quantisation: Quantisation | None = None
    sides: tuple[SideSpec, ...] = ()
    beside: tuple[PartSpec, ...] = ()
    counted: str = ""
    published: Published = NOTHING_PUBLISHED
    sources: tuple[Source, ...] = ()
