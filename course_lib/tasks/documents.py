"""Retrieval task over real documentation: which text continues this summary?

    query       a docstring's summary
                "Read the logging configuration from a ConfigParser-format file."
    document    the rest of it
                "This can be called several times from an application, ..."

Queries of the language reference are its topics' titles. What answers a query is known
exactly, one document each. It is a stand-in for search over a company's own pages, with
its difficulties: the words of the query need not come up in the document, and documents
of the same module use the same words.

The split is by module: all of a module is trained on or none of it, so a test
document's neighbours have not been seen either.

Terms:
    retrieval task, passage retrieval: find the text that continues a summary, among all
        texts -> retrieval
    hard negatives: documents that do not answer a query but are close to it ->
        hard_negatives
"""

import random
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from course_lib.tasks.corpora import pydoc_topics
from course_lib.tasks.docstrings import stdlib_docstrings

TOPICS = "topics"
_SHORTEST_QUERY, _LONGEST_QUERY, _SHORTEST_TEXT = 20, 200, 80  # characters


@dataclass(frozen=True)
class Document:
    """A text and the query that it answers.

    Attributes:
        group: the module that it comes from, or "topics" for the language reference.
        name: its name there.
        query: the summary or title.
        text: what goes on after it.
    """

    group: str
    name: str
    query: str
    text: str


@dataclass(frozen=True)
class Retrieval:
    """Documents to train on and documents to test on; the answer to query i of a part
    is its document i.
    """

    train: tuple[Document, ...]
    test: tuple[Document, ...]


@lru_cache(maxsize=1)
def documents() -> tuple[Document, ...]:
    """Return every docstring and topic that makes a query and a document, in order of
    group and name.

    Left out: summaries that are not a sentence of 20 to 200 characters, details below
    80 characters, and all but the first of equal docstrings. What then shares its query
    or its text with another is left out too, so that no query has two right answers.

    >>> "json.decoder" in {document.group for document in documents()}
    True
    """
    first = {(d.summary, d.details): d for d in reversed(stdlib_docstrings())}
    found = [
        Document(d.module, d.name, d.summary, d.details)
        for d in sorted(first.values())
        if _SHORTEST_QUERY <= len(d.summary) <= _LONGEST_QUERY
        and d.summary.endswith(".")
        and len(d.details) >= _SHORTEST_TEXT
    ]
    found += [_topic(name, text) for name, text in pydoc_topics().items()]
    queries, texts = Counter(d.query for d in found), Counter(d.text for d in found)
    return tuple(d for d in found if queries[d.query] == texts[d.text] == 1)


def retrieval(seed: int = 0, *, test_share: float = 0.25) -> Retrieval:
    """Split `documents()` by module; of the language reference, each topic stands for
    itself.

    Args:
        seed: shuffles the modules.
        test_share: part of the modules and topics that is tested on, above 0 and below
            1.

    Raises:
        ValueError: `test_share` is not between 0 and 1.

    >>> split = retrieval()
    >>> {d.group for d in split.train} & {d.group for d in split.test} <= {"topics"}
    True
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share={test_share}: allowed is above 0 and below 1")
    units = sorted({_unit(document) for document in documents()})
    random.Random(seed).shuffle(units)
    tested = set(units[: max(1, round(len(units) * test_share))])
    return Retrieval(
        tuple(d for d in documents() if _unit(d) not in tested),
        tuple(d for d in documents() if _unit(d) in tested),
    )


def hard_negatives(
    part: tuple[Document, ...], index: int, count: int, rng: random.Random
) -> list[int]:
    """Draw documents that do not answer query `index` but look as if they might: from
    its own group.

    Args:
        part: one part of a split.
        index: of the query.
        count: how many; where the group is too small, documents of other groups make up
            the number.
        rng: the random stream.

    Returns:
        different indices, those of the same group first.

    Raises:
        ValueError: `count` is below 0, or there are not that many other documents.

    >>> part = retrieval().train
    >>> found = hard_negatives(part, 0, 2, random.Random(0))
    >>> 0 in found, len(set(found))
    (False, 2)
    """
    if not 0 <= count < len(part):
        raise ValueError(f"count={count}: allowed are 0 to {len(part) - 1}")
    near = [
        i for i, d in enumerate(part) if d.group == part[index].group and i != index
    ]
    found = rng.sample(near, min(count, len(near)))
    far = [i for i, d in enumerate(part) if d.group != part[index].group]
    return found + rng.sample(far, count - len(found))


def _topic(name: str, text: str) -> Document:
    """A topic opens with its title and a line of signs under it."""
    title, _, rest = text.partition("\n")
    return Document(
        TOPICS, name, title.strip(), " ".join(rest.strip().lstrip("*=-~").split())
    )


def _unit(document: Document) -> str:
    return f"{TOPICS}/{document.name}" if document.group == TOPICS else document.group
