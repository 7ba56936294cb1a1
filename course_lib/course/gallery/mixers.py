"""Which module puts a mixer into rows: the closed union of token mixers."""

from course_lib.course.gallery.attention import attention_part
from course_lib.course.gallery.joint import joint_part
from course_lib.course.gallery.latent import latent_part
from course_lib.course.gallery.recurrent import (
    delta_rule_part,
    kimi_delta_part,
    lightning_part,
    rg_lru_part,
    rnn_part,
    rwkv_part,
    short_conv_part,
    state_space_part,
)
from course_lib.course.gallery.rows import Part
from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    JointSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LightningSpec,
    Mixer,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_record

DESCRIBED = {
    AttentionSpec: attention_part,
    LatentAttentionSpec: latent_part,
    SSMSpec: state_space_part,
    RWKVSpec: rwkv_part,
    GatedDeltaNetSpec: delta_rule_part,
    KimiDeltaSpec: kimi_delta_part,
    LightningSpec: lightning_part,
    RGLRUSpec: rg_lru_part,
    ShortConvSpec: short_conv_part,
    RNNSpec: rnn_part,
    JointSpec: joint_part,
}


def mixer_part_of(mixer: Mixer, width: int, key: str, elsewhere: str) -> Part:
    """A mixer in rows.

    Raises:
        ValueError: naming the class of a record that is not described.
    """
    return of_record("mixer", mixer, DESCRIBED)(mixer, width, key, elsewhere)
