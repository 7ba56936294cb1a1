"""Attention beside a state space in one layer, as rows."""

from dataclasses import replace

from course_lib.costs.mixers.dispatch import mixer_params
from course_lib.course.gallery.attention import attention_part
from course_lib.course.gallery.recurrent import state_space_rows
from course_lib.course.gallery.rows import Amount, Part, Row
from course_lib.specs.records import JointSpec


def joint_part(joint: JointSpec, width: int, key: str, elsewhere: str) -> Part:
    """Both mixers in one box: the rows of attention, then those of the state space."""
    part = attention_part(joint.attention, width, key, elsewhere)
    beside = tuple(
        Row(f"state_{row.key}", f"Beside it: {row.label}", f"beside it: {row.text}")
        for row in state_space_rows(joint.state)
    )
    kind = Row("kind", "Token mixer", "Attention beside a state space")
    own = Row("attention", "Attention", part.rows[0].text)
    params = Amount("params", "Parameters", mixer_params(joint, width), "parameters")
    # Sums, for no star is translated.
    return replace(
        part,
        rows=(kind, own) + part.rows[1:] + beside,  # noqa: RUF005
        amounts=(params,) + part.amounts[1:],  # noqa: RUF005
        record=joint,
    )
