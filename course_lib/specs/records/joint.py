"""Two mixers side by side in one layer, as a record: both read the same norm, and
their outputs are added.

Terms:
    parallel hybrid, hybrid heads: attention and a state space in the same layer, whose
        outputs are added (Falcon-H1) -> JointSpec
"""

from dataclasses import dataclass

from course_lib.specs.frozen import Sized
from course_lib.specs.records.attention import AttentionSpec
from course_lib.specs.records.recurrent import SSMSpec


@dataclass(frozen=True, kw_only=True)
class JointSpec(Sized):
    """Attention beside a state space in one layer.

    Source: Zuo et al. 2025, Falcon-H1, arXiv 2507.22448.
    """

    attention: AttentionSpec
    state: SSMSpec
