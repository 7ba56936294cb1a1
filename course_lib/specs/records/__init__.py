"""Frozen records: what a model is made of, one file for each kind of part."""

from course_lib.specs.records.attention import (
    AttentionSpec,
    LatentAttentionSpec,
    RopeSpec,
)
from course_lib.specs.records.embedding import EmbeddingSpec, TransformSpec
from course_lib.specs.records.feed_forward import FFNSpec, MoESpec
from course_lib.specs.records.model import LayerSpec, Mixer, ModelSpec
from course_lib.specs.records.norm import NormSpec
from course_lib.specs.records.recurrent import RWKVSpec, SSMSpec
from course_lib.specs.records.vision import PatchSpec

__all__ = [
    "AttentionSpec",
    "EmbeddingSpec",
    "FFNSpec",
    "LatentAttentionSpec",
    "LayerSpec",
    "Mixer",
    "MoESpec",
    "ModelSpec",
    "NormSpec",
    "PatchSpec",
    "RWKVSpec",
    "RopeSpec",
    "SSMSpec",
    "TransformSpec",
]
