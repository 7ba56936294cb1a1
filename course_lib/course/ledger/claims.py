"""What the study guide claims and what became of it: book/claims/NN_chapter.yml as
records.

An entry names the claim in our words, where the guide makes it, a verdict, a reason and
the evidence:

    - id: kv-formula
      claim: A layer's cache takes 2 B n G d_k b bytes.
      source: {document: '002', section: '3.2'}
      verdict: holds
      reason: It equals the bytes of the tensors.
      evidence:
        - {notebook: 03_kv_cache/02_cache_budget, tag: claim-kv-formula}
        - {call: course_lib.costs.cache.kv_cache_bytes, arguments: {batch: 1, ...},
          expected: 327680}
        - {test: "tests/unit/test_kv_cache.py::test_bytes"}
        - {citation: deepseek2024v2, section: '2.1', says: [128 heads]}
        - {experiment: feed_forward}

An experiment's line is made from its record: what it found, and what two other sets of
seeds gave.

A reason's numbers come from `{measured}`. One that a source states is typed in the
reason and in the citation's `says`, so that a reader finds where it stands;
`tests/repo/test_ledger_numbers.py` holds the reasons to it.

Everything that is wrong with the files is said at once, each as file, claim, field.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.kit.entries import field_problems, near, read_list

VERDICTS = {
    "holds": "Holds",
    "holds-with-qualification": "Holds with a qualification",
    "wrong-or-outdated": "Wrong or outdated",
    "cannot-be-verified": "Cannot be verified",
}

ENTRY = {
    "id": str,
    "claim": str,
    "source": dict,
    "verdict": str,
    "reason": str,
    "evidence": list,
}
SOURCE = {"document": str, "section": str}
# The kinds of evidence: the fields each must have, and those it may have.
EVIDENCE = {
    "notebook": ({"notebook": str, "tag": str}, {}),
    "test": ({"test": str}, {}),
    "call": ({"call": str, "arguments": dict, "expected": object}, {"rel": float}),
    "citation": ({"citation": str}, {"section": str, "says": list}),
    "experiment": ({"experiment": str}, {}),
}
# How a field has to look: a link of a page, or a path that stays inside the repository,
# is made from it.
PATTERNS = {
    "id": r"[a-z0-9]+(-[a-z0-9]+)*",
    "notebook": r"\w+/\w+",
    "tag": r"[a-z0-9]+(-[a-z0-9]+)*",
    "call": r"course_lib(\.[a-z]\w*)+\.[a-z]\w*",
    "test": r"tests/[\w/]+\.py(::\w+)+(\[.+\])?",
    "citation": r"[\w:-]+",
    "experiment": r"[a-z]\w*",
}


@dataclass(frozen=True)
class Claim:
    """One claim of the study guide, its verdict and the evidence as the file states
    it.
    """

    chapter: str
    id: str
    claim: str
    document: str
    section: str
    verdict: str
    reason: str
    evidence: tuple[Mapping, ...]

    @property
    def where(self) -> str:
        """Return the file and the claim, for a message."""
        return f"book/claims/{self.chapter}.yml: {self.id}"


def read_claims(
    folder: str | Path, curriculum: Mapping[str, Mapping]
) -> tuple[Claim, ...]:
    """Return the claims of all chapters, in the order of the files.

    Args:
        folder: where the files NN_chapter.yml lie.
        curriculum: for each chapter the ids it has to answer, under `claims`
            (book/curriculum.yml).
    Raises:
        ValueError: if a file is not a list of entries of the form above, or an id
            stands twice or is not one that the curriculum lists for the chapter. Every
            line of the message names file, claim and field.
    """
    paths = sorted(Path(folder).glob("*.yml"))
    entries = [
        (path, entry)
        for path in paths
        for entry in read_list(path, f"{path.parent.name}/{path.name}", "claims")
    ]
    times = Counter(
        str(entry.get("id")) for _, entry in entries if isinstance(entry, dict)
    )
    wrong = []
    for path, entry in entries:
        name = entry.get("id") if isinstance(entry, dict) else entry
        listed = curriculum.get(path.stem, {}).get("claims", ())
        found = list(problems(entry)) or list(_misplaced(name, listed, times))
        wrong += [f"{path.parent.name}/{path.name}: {name}: {what}" for what in found]
    if wrong:
        raise ValueError("\n".join(wrong))
    return tuple(_claim(path.stem, entry) for path, entry in entries)


def problems(entry: object) -> Iterator[str]:
    """Yield what is wrong with one entry, field by field.

    >>> entry = {"id": "a", "claim": "b", "reason": "c", "verdict": "holds"}
    >>> list(problems(entry | {"source": 2}))
    ['evidence: missing', 'source=2: allowed is a mapping']
    """
    if not isinstance(entry, dict):
        yield "an entry is a mapping with the fields " + ", ".join(ENTRY)
        return
    yield from _fields(entry, ENTRY)
    if isinstance(source := entry.get("source"), dict):
        yield from (f"source.{what}" for what in _fields(source, SOURCE))
    verdict = entry.get("verdict")
    if isinstance(verdict, str) and verdict and verdict not in VERDICTS:
        yield (
            f"verdict={verdict!r}: allowed is one of "
            f"{', '.join(VERDICTS)}{near(verdict, VERDICTS)}"
        )
    evidence = entry.get("evidence")
    for number, item in enumerate(
        evidence if isinstance(evidence, list) else (), start=1
    ):
        yield from (f"evidence {number}: {what}" for what in _evidence_problems(item))


def verdict_counts(claims: Sequence[Claim]) -> dict[str, int]:
    """Return how many claims have each verdict; every verdict is a key."""
    return {
        verdict: sum(claim.verdict == verdict for claim in claims)
        for verdict in VERDICTS
    }


def coverage(
    claims: Sequence[Claim], curriculum: Mapping[str, Mapping]
) -> dict[str, tuple[int, int]]:
    """Return, for each chapter of the curriculum, how many of its claims are answered
    and how many it has.
    """
    answered = {claim.id for claim in claims}
    return {
        chapter: (
            sum(claim in answered for claim in parts["claims"]),
            len(parts["claims"]),
        )
        for chapter, parts in curriculum.items()
    }


def _fields(
    data: Mapping, required: Mapping, optional: Mapping | None = None
) -> Iterator[str]:
    yield from field_problems(
        data, required, optional, PATTERNS, may_be_empty=("arguments",)
    )


def _evidence_problems(item: object) -> Iterator[str]:
    kinds = [kind for kind in EVIDENCE if isinstance(item, dict) and kind in item]
    if len(kinds) != 1:
        yield (
            f"{item!r}: allowed is a mapping with exactly one of {', '.join(EVIDENCE)}"
        )
    else:
        yield from _fields(item, *EVIDENCE[kinds[0]])


def _misplaced(name: str, listed: Sequence[str], times: Counter) -> Iterator[str]:
    if times[name] > 1:
        yield f"id: stands {times[name]} times; allowed is once"
    if name not in listed:
        yield (
            "id: not among the claims that book/curriculum.yml lists for this "
            f"chapter{near(name, listed)}"
        )


def _claim(chapter: str, entry: Mapping) -> Claim:
    fields = {field: " ".join(entry[field].split()) for field in ("claim", "reason")}
    return Claim(
        chapter=chapter,
        id=entry["id"],
        verdict=entry["verdict"],
        evidence=tuple(entry["evidence"]),
        **fields,
        **entry["source"],
    )
