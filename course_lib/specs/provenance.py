"""Where the figures of a published model come from, and what its authors state of its
size.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the authors state, in parameters as they round them; None where they do not
    say.

    `active_leaves_out` names the parts (of `costs.params`) which their active count
    does not include.
    """

    total: float | None = None
    active: float | None = None
    active_leaves_out: tuple[str, ...] = ()


NOTHING_PUBLISHED = Published()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a figure was read. `covers` names it: "config", "config.vocab_size",
    "published.total".

    `seen`: "first-hand" in what its authors publish, in a "copy" of that, or "quoted"
        by another.
    """

    covers: tuple[str, ...]
    seen: Literal["first-hand", "copy", "quoted"]
    citation: str
    url: str
    checked: str
