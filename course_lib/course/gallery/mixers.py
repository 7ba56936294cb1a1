"""Which module puts a mixer into rows: the closed union of token mixers."""

from course_lib.course.gallery.attention import attention_part
from course_lib.course.gallery.latent import latent_part
from course_lib.course.gallery.recurrent import (
    delta_rule_part,
    rwkv_part,
    state_space_part,
)
from course_lib.course.gallery.rows import Part
from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    LatentAttentionSpec,
    Mixer,
    RWKVSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_record

DESCRIBED = {
    AttentionSpec: attention_part,
    LatentAttentionSpec: latent_part,
    SSMSpec: state_space_part,
    RWKVSpec: rwkv_part,
    GatedDeltaNetSpec: delta_rule_part,
}


def mixer_part_of(mixer: Mixer, width: int, key: str, elsewhere: str) -> Part:
    """A mixer in rows.

    Raises:
        ValueError: naming the class of a record that is not described.
    """
    return of_record("mixer", mixer, DESCRIBED)(mixer, width, key, elsewhere)
