"""No number is typed in the ledger's reasons: it is measured, it is part of a name, or a source says it.

What may hold digits, beside `{measured}`:

    names       T5, GPT-2, Qwen2.5, v0.1, 57B-A14B; "Llama 3 8B", "Gemini 1.5 Pro", "LLaMA 1 to 3"
    sizes       8B, 62B, 350M: which model, not what was found
    years       1997, 2026
    places      "section 2", "sections 5.2 and 9", "table 1", "document 002", "chapter 4"
    settings    "batch 1", "G = 8", the 95 % of an interval
    code        anything in backquotes
    sources     what a citation of the same entry lists under `says`
"""

import re

import pytest

from .repository import data, matching

CLAIMS = [entry for path in matching(r"book/claims/\w+\.yml") for entry in data(path.as_posix())]
NUMBER = r"\d+(?:\.\d+)*"
PLACE = "sections?|tables?|chapters?|figures?|documents?|equations?|problems?"
PLACES = rf"(?:{PLACE}) {NUMBER}(?:(?:,| and| to) {NUMBER})*"
SIZE = rf"\b{NUMBER}[BM](?:-A{NUMBER}[BM])?\b"
YEAR = r"\b(?:19|20)\d\d\b"
NAMED = r"[A-Za-z][\w.]*(?:-[\w.]*)*\d[\w.-]*"
FAMILIES = "BERT|Claude|Command R|DeepSeek|Falcon|Gemini|Gemma|GLM|GPT|Grok|Jamba|Llama|LLaMA"
FAMILIES += "|Mistral|Mixtral|OLMo|PaLM|Phi|Qwen"
FAMILY = rf"\b(?:{FAMILIES}) {NUMBER}(?:(?:,| and| to) {NUMBER})*"
SETTING = rf"\b(?:batch {NUMBER}|\w+ = {NUMBER}K?|95 %|\d+-bit)"
ALLOWED = [r"\{measured\}`[^`]*`", r"`[^`]*`", PLACES, SETTING, FAMILY, SIZE, NAMED, YEAR]


def typed(entry: dict) -> list[str]:
    """Return the numbers of a reason that nothing allows, each with what stands around it.

    >>> typed({"reason": "In 2026 Llama 3 8B is 3 times as fast (section 2).", "evidence": []})
    ['is 3 times']
    """
    reason = " ".join(entry["reason"].split())
    for item in entry["evidence"]:
        for figure in item.get("says", ()):
            reason = reason.replace(figure, "")
    for pattern in ALLOWED:
        reason = re.sub(pattern, "", reason, flags=re.IGNORECASE if pattern is PLACES else 0)
    return [found.group().strip() for found in re.finditer(r"\S* ?\S*\d\S* ?\S*", reason)]


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_a_reason_types_no_number(claim):
    assert typed(claim) == []


def test_what_a_citation_says_stands_in_the_reason():
    missing = [
        (claim["id"], figure)
        for claim in CLAIMS
        for item in claim["evidence"]
        for figure in item.get("says", ())
        if figure not in " ".join(claim["reason"].split())
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Llama 3 8B, Qwen2.5 7B, 57B-A14B, v0.2 and H100 in 2026 (sections 5.2 and 9).", []),
        ("It takes 3 times as long, 15 % more, at 8K.", ["takes 3 times", "long, 15 %", "at 8K."]),
        ("{measured}`01_a/02_b:kv_32k` of `max_position 131072`", []),
        ("In 52 of 58 specifications.", ["In 52 of", "58 specifications."]),
        ("With 64 heads Llama 2 keeps 40 GiB.", ["With 64 heads", "keeps 40 GiB."]),
    ],
)
def test_the_rule_tells_names_from_findings(reason, expected):
    assert typed({"reason": reason, "evidence": []}) == expected


def test_a_source_may_say_a_number():
    entry = {
        "reason": "The paper reports 15 per cent.",
        "evidence": [{"citation": "a", "says": ["15 per cent"]}],
    }
    assert typed(entry) == []
