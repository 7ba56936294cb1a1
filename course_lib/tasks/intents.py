"""Intent classification over real sentences: which part of the standard library does
this?

An utterance is the summary of a docstring, mostly an imperative sentence; its intent is
the package that the docstring stands in:

    "Schedule a callback to run as soon as possible."      asyncio
    "Return the list of recipients."                        email

It stands for the routing of tickets and messages: many short texts, few classes, unlike
numbers of each. It is not a corpus of users' requests: programmers wrote these
sentences, and the classes follow packages, not what someone wants. Sentences that name
their own intent are left out, or the name alone would decide.

Terms:
    intent classification, text classification: name the class of a short sentence ->
        intents
"""

import re
from collections import Counter
from dataclasses import dataclass

from course_lib.tasks.docstrings import Docstring, stdlib_docstrings
from course_lib.tasks.sequences import PARTS, part_of

_SHORTEST, _LONGEST = 20, 200  # characters


@dataclass(frozen=True)
class Utterance:
    """A sentence and the number of its intent."""

    text: str
    intent: int


@dataclass(frozen=True)
class Intents:
    """Utterances to train on and to test on.

    Attributes:
        names: of the intents, by number; the most frequent first.
        train, test: utterances, no text in both.
    """

    names: tuple[str, ...]
    train: tuple[Utterance, ...]
    test: tuple[Utterance, ...]

    @property
    def majority_share(self) -> float:
        """Accuracy on the test utterances of always saying the intent most frequent in
        training.
        """
        common = Counter(u.intent for u in self.train).most_common(1)[0][0]
        return sum(u.intent == common for u in self.test) / len(self.test)


def intents(classes: int = 12) -> Intents:
    """Return the utterances of the packages that have most of them.

    A sentence that two packages share belongs to neither. One text in five is tested
    on, by its hash.

    Args:
        classes: number of intents, at least 2.

    Raises:
        ValueError: `classes` is below 2, or there are not that many packages.

    >>> task = intents(4)
    >>> len(task.names), {u.text for u in task.train} & {u.text for u in task.test}
    (4, set())
    """
    owners: dict[str, set[str]] = {}
    for docstring in stdlib_docstrings():
        text = docstring.summary
        if _SHORTEST <= len(text) <= _LONGEST and text.endswith("."):
            owners.setdefault(text, set()).add(package(docstring))
    found = {
        text: next(iter(names)) for text, names in owners.items() if len(names) == 1
    }
    found = {text: name for text, name in found.items() if not _names(text, name)}
    sizes = Counter(found.values())
    if not 2 <= classes <= len(sizes):
        raise ValueError(f"classes={classes}: allowed are 2 to {len(sizes)}")
    names = sorted(sizes, key=lambda name: (-sizes[name], name))[:classes]
    kept = sorted(
        (text, names.index(name)) for text, name in found.items() if name in names
    )
    train, test = (
        tuple(Utterance(*u) for u in kept if part_of(u[0], one_in=5) == part)
        for part in PARTS
    )
    return Intents(tuple(names), train, test)


def package(docstring: Docstring) -> str:
    """Return the top of the module's name, without the underscore of an inner module.

    >>> modules = ("email.mime.text", "_pydecimal")
    >>> [package(Docstring(module, "", "", "")) for module in modules]
    ['email', 'pydecimal']
    """
    return docstring.module.split(".")[0].lstrip("_")


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, flags=re.IGNORECASE) is not None
