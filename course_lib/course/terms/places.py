"""Where the course teaches a term: page sections, notebooks, exercises, cards.

Nothing of it is typed anywhere. A place is about a term if a topic of the curriculum
says so, if its heading names the term, or if it shows or uses the term's code. Code
that several terms share (`attend` is MHA, GQA and MQA too) counts for the first of them
in the header; for the others only where the text names them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from course_lib.course.terms.headers import Term, slug
from course_lib.course.terms.mentions import found_in, of_topic
from course_lib.course.terms.sources import (
    Place,
    cards,
    labs,
    notebooks,
    pages,
    topics_of,
)
from course_lib.course.terms.uses import uses

# What speaks for a place, strongest first; one of the first three is enough.
HEADING, TOPIC, LISTING, ANCHOR = 60, 50, 40, 10
SURE = LISTING
MOST_MENTIONS = 12
PAGES = 3  # sections at most


@dataclass(frozen=True)
class Taught:
    """Where one term is taught, the best place of each kind first.

    `named` are the section and the notebook that name it most often, where none is
    about it.
    """

    pages: tuple[Place, ...]
    notebooks: tuple[Place, ...]
    labs: tuple[Place, ...]
    cards: tuple[Place, ...]
    named: tuple[Place, ...]


@dataclass(frozen=True)
class Course:
    """All places of the course, and the terms to look for."""

    terms: tuple[Term, ...]
    places: tuple[Place, ...]

    @classmethod
    def read(cls, root: str | Path, terms: Iterable[Term]) -> "Course":
        """Return the course in a folder, its places in reading order."""
        root = Path(root)
        topics = topics_of(root)
        found = [*pages(root, topics), *notebooks(root, topics), *labs(root, topics)]
        return cls(tuple(terms), (*found, *cards(root)))

    @cached_property
    def owner(self) -> dict[tuple[str, str], Term]:
        """The first term, in the order of its module's header, that names a target."""
        found: dict[tuple[str, str], Term] = {}
        for term in sorted(self.terms, key=lambda term: (term.path, term.line)):
            for target in term.targets:
                found.setdefault((term.path, target), term)
        return found

    @cached_property
    def longer(self) -> dict[str, tuple[str, ...]]:
        """The names that hold another name: "encoder-decoder" for "encoder"."""
        names = [name for term in self.terms for name in term.names]
        return {
            name: tuple(n for n in names if n != name and found_in((name,), n))
            for name in names
        }

    def mentions(self, term: Term, text: str) -> int:
        """Count where a text names a term, not a longer one that holds its name."""
        longer = {name for own in term.names for name in self.longer[own]}
        hidden = longer - set(term.names)
        return len(found_in(term.names, text, hidden=tuple(sorted(hidden))))

    def taught(self, term: Term) -> Taught:
        """Return where a term is taught.

        Sections: those that a topic, a heading or a listing points to, at most 3.
        Notebooks and exercises: those that a topic or a heading points to, or that use
        the term's code. Cards: those of its topics, and those whose question or answer
        names it.
        """
        scored = [(self._score(term, place), place) for place in self.places]
        found: dict[str, list] = {"page": [], "notebook": [], "lab": [], "card": []}
        for score, place in sorted(scored, key=lambda pair: -pair[0]):
            if score:
                found[place.kind].append((score, place))
        sure = {
            kind: tuple(place for score, place in pairs if score >= SURE)
            for kind, pairs in found.items()
        }
        named = [found[kind][0][1] for kind in ("page", "notebook") if found[kind]]
        return Taught(
            pages=sure["page"][:PAGES],
            notebooks=sure["notebook"],
            labs=sure["lab"],
            cards=sure["card"],
            named=tuple(place for place in named if not sure[place.kind]),
        )

    def _score(self, term: Term, place: Place) -> int:
        mentions = self.mentions(term, place.text)
        if place.kind == "card":
            about = mentions or any(of_topic(term, topic) for topic in place.topics)
            return SURE if about else 0
        score = min(mentions, MOST_MENTIONS)
        if self.mentions(term, place.title):
            score += HEADING
        if any(of_topic(term, topic) for topic in (*place.topics, place.anchor)):
            score += TOPIC
        last = place.anchor.split("-")[-1]
        if len(last) > 5 and last in slug(term.name).split("-"):
            score += ANCHOR
        if self._shows(term, place, mentions):
            score += LISTING
        return score

    def _shows(self, term: Term, place: Place, mentions: int) -> bool:
        """Say whether a place shows or uses the term's code, and means this term."""
        own = [t for t in term.targets if self.owner[term.path, t] is term]
        targets = term.targets if mentions else tuple(own)
        listed = {name for file, name in place.listings if file == term.path}
        shown = any(f"{name}.".startswith(f"{t}.") for t in targets for name in listed)
        return shown or bool(uses(place.used, term.module, targets))
