"""Frozen records: what a model is made of, one file for each kind of part."""

from course_lib.specs.records.attention import (
    AttentionSpec,
    IndexerSpec,
    LatentAttentionSpec,
    RopeSpec,
)
from course_lib.specs.records.embedding import EmbeddingSpec, TransformSpec
from course_lib.specs.records.feed_forward import FFNSpec, MoESpec
from course_lib.specs.records.joint import JointSpec
from course_lib.specs.records.mixer import Mixer, is_causal, reach_of, window_of
from course_lib.specs.records.model import LayerSpec, ModelSpec, PartSpec
from course_lib.specs.records.norm import NormSpec
from course_lib.specs.records.quantisation import Quantisation
from course_lib.specs.records.recurrent import (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.records.side import SideSpec
from course_lib.specs.records.vision import PatchSpec

__all__ = [
    "AttentionSpec",
    "EmbeddingSpec",
    "FFNSpec",
    "GatedDeltaNetSpec",
    "IndexerSpec",
    "JointSpec",
    "KimiDeltaSpec",
    "LatentAttentionSpec",
    "LayerSpec",
    "LightningSpec",
    "Mixer",
    "MoESpec",
    "ModelSpec",
    "NormSpec",
    "PartSpec",
    "PatchSpec",
    "Quantisation",
    "RGLRUSpec",
    "RNNSpec",
    "RWKVSpec",
    "RopeSpec",
    "SSMSpec",
    "ShortConvSpec",
    "SideSpec",
    "TransformSpec",
    "is_causal",
    "reach_of",
    "window_of",
]
