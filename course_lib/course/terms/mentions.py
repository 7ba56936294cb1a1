"""Where a term stands in text: its names as words, however they are hyphenated."""

import re
from collections.abc import Iterable
from functools import cache

from course_lib.course.terms.headers import Term, slug


def pattern(names: Iterable[str]) -> re.Pattern:
    """Return what finds any of the names as whole words, in the plural too.

    A hyphen, a space and a line's end count the same. Small and capital letters count
    the same in a word, but not in an abbreviation: RoPE is no rope.

    >>> bool(pattern(["sliding window"]).search("Sliding-window attention"))
    True
    >>> [bool(pattern(["RoPE"]).search(text)) for text in ("with RoPE", "a rope")]
    [True, False]
    >>> bool(pattern(["attention"]).search("cross-attention"))
    False
    """
    return re.compile("|".join(map(_name, names)))


def _name(name: str) -> str:
    words = r"[\s-]+".join(map(re.escape, re.split(r"[\s-]+", name)))
    abbreviation = re.search(r"\w[A-Z]", name)
    return rf"(?<![\w-]){words if abbreviation else f'(?i:{words})'}s?(?!\w)"


def found_in(
    names: tuple[str, ...], text: str, *, hidden: tuple[str, ...] = ()
) -> list[str]:
    """Return every place where a text names one of the names, and none of `hidden`.

    >>> found_in(("GQA", "grouped-query attention"), "Grouped-query attention (GQA)")
    ['Grouped-query attention', 'GQA']
    >>> found_in(("encoder",), "an encoder-decoder", hidden=("encoder-decoder",))
    []
    """
    folded = _folded(text)
    if not any(re.split(r"[\s-]", name)[0].lower() in folded for name in names):
        return []  # nearly always, and much faster than the search
    if hidden:
        text = _pattern(hidden).sub(" ", text)
    return _pattern(names).findall(text)


@cache
def _folded(text: str) -> str:
    return text.lower()


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern:
    return pattern(names)


def of_topic(term: Term, topic: str) -> bool:
    """Say whether a topic of the curriculum is about a term: its id holds a name.

    >>> gqa = Term(("GQA", "grouped-query attention"), "", ("attend",), "forms.py")
    >>> [of_topic(gqa, topic) for topic in ("mha-mqa-gqa", "gqa-4-8x", "mla")]
    [True, True, False]
    """
    joined = topic.replace("-", "")
    names = [slug(name) for name in term.names]
    return any(
        f"-{name}-" in f"-{topic}-" or name.replace("-", "") == joined for name in names
    )
