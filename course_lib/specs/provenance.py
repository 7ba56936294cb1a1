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


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a model is called, the series it belongs to, and when it came out.

    `date` is a day, a month, or None where it was found in nothing that its authors
    publish; `dates` says of what: the "release" of the weights, the
    "report", or the "class", when `transformers` took in the class that runs it.
    """

    name: str
    series: str
    date: str | None
    dates: Literal["release", "report", "class"] | None = None
    citation: str | None = None
    url: str | None = None
    checked: str

    def __post_init__(self) -> None:
        if self.date is not None and None in (self.dates, self.citation, self.url):
            raise ValueError(
                f"date={self.date!r} of {self.name}: what it dates, a citation and an "
                "address are wanted"
            )

    @property
    def year(self) -> str | None:
        """The year, as four digits."""
        return None if self.date is None else self.date[:4]
