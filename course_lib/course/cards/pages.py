"""Which page of a chapter holds a section: a chapter has one page or several.

The pages of a chapter share its number, book/01_prototypes.md and
book/01_families_and_blocks.md. The one that is named as the chapter is its first page.
"""

import re
from functools import cache
from pathlib import Path

LABEL = re.compile(r"^\(([\w-]+)\)=\s*$", re.M)


def page_of(root: str | Path, chapter: str, label: str) -> str:
    """Return the file, from the root, of the page of `chapter` that holds the label.

    >>> page_of(".", "03_kv_cache", "kv-groups")
    'book/03_kv_cache.md'

    Args:
        root: the repository.
        chapter: the chapter's id, "01_prototypes".
        label: what stands before a heading, "proto-masks" for `(proto-masks)=`.
    Raises:
        ValueError: if no page of the chapter has the label.
    """
    held = labels(str(root), chapter)
    if label not in held:
        raise ValueError(f"label {label!r}: allowed are {', '.join(sorted(held))}")
    return held[label]


@cache
def labels(root: str, chapter: str) -> dict[str, str]:
    """Return every label of a chapter's pages, with the page that holds it."""
    pages = sorted(Path(root, "book").glob(f"{chapter.split('_')[0]}_*.md"))
    return {
        label: f"book/{page.name}"
        for page in pages
        for label in LABEL.findall(page.read_text(encoding="utf-8"))
    }
