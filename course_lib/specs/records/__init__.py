"""Frozen records: what a model is made of, one file for each kind of part."""

from course_lib.specs.records.attention import (
    AttentionSpec,
    LatentAttentionSpec,
    RopeSpec,
)
from course_lib.specs.records.embedding import EmbeddingSpec, TransformSpec
from course_lib.specs.records.feed_forward import FFNSpec, MoESpec
from course_lib.specs.records.mixer import Mixer, is_causal, window_of
from course_lib.specs.records.model import LayerSpec, ModelSpec, PartSpec
from course_lib.specs.records.norm import NormSpec
from course_lib.specs.records.quantisation import Quantisation
from course_lib.specs.records.recurrent import GatedDeltaNetSpec, RWKVSpec, SSMSpec
from course_lib.specs.records.vision import PatchSpec

__all__ = [
    "AttentionSpec",
    "EmbeddingSpec",
    "FFNSpec",
    "GatedDeltaNetSpec",
    "LatentAttentionSpec",
    "LayerSpec",
    "Mixer",
    "MoESpec",
    "ModelSpec",
    "NormSpec",
    "PartSpec",
    "PatchSpec",
    "Quantisation",
    "RWKVSpec",
    "RopeSpec",
    "SSMSpec",
    "TransformSpec",
    "is_causal",
    "window_of",
]
