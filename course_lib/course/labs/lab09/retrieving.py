"""Lab 9, exercise 4: passages for a text, none of which may hold what is predicted.

Symbols: p passages, d width of their codes, n passages wanted.
"""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "list": "Return a list of ints, the numbers of the passages.",
    "answer": "A passage that overlaps the text to be predicted holds the answer: "
    "leave it out before you rank.",
    "later": "Passages of the same document that come after the text are unknown when "
    "it is written: only those that end at or before its first token count.",
    "overlap": "A passage that begins before the text and ends inside it holds its "
    "first words: look at where passages *end*.",
    "touching": "Ends are exclusive: a passage that ends where the text begins may be "
    "shown.",
    "document": "Only what overlaps or follows is left out; earlier passages of the "
    "same document may be shown.",
    "other": "Places are places in a document: passages of other documents may all be "
    "shown, whatever their places.",
    "product": "Products as they are: not divided by lengths, no distances. Codes need "
    "not have length 1.",
    "too_few": "Leave out first, then take n: otherwise fewer than n come back.",
    "farthest": "The passages with the largest products with the query, largest first.",
    "sorted": "In the order of their products, not of their numbers.",
    "ranked": "Rank the allowed passages by codes @ query, largest first, and return "
    "the first n numbers.",
    "all": "If fewer than n may be shown, return those.",
}
CHECK = Checker("Exercise 4", HINTS)
Span = tuple[str, int, int]


def retrieve(
    codes: Tensor,
    spans: list[Span],
    query: Tensor,
    asked: Span,
    n: int,
    slip: str = "",
) -> list[int]:
    """The truth, or what a slip gives."""
    document, first, last = asked

    def allowed(span: Span) -> bool:
        same = span[0] == document or slip == "other"
        if slip == "answer" or not same:
            return True
        if slip == "document":
            return False
        if slip == "later":
            return span[2] <= first or span[1] >= last
        if slip == "touching":
            return span[2] < first
        return span[1] < first if slip == "overlap" else span[2] <= first

    products = (codes @ query).tolist()
    sign = 1 if slip == "farthest" else -1
    ranked = sorted(range(len(spans)), key=lambda i: sign * products[i])
    if slip == "too_few":
        return [i for i in ranked[:n] if allowed(spans[i])]
    found = [i for i in ranked if allowed(spans[i])][:n]
    return sorted(found) if slip == "sorted" else found


SLIPS = (
    "answer", "later", "overlap", "touching", "document", "other", "too_few",
    "farthest", "sorted"
)  # fmt: skip


def random_index(seed: int) -> tuple[Tensor, list[Span], Tensor, Span]:
    """Three documents in overlapping passages, the nearest of which hold the answer."""
    rng, size = random_sizes(seed, d=(5, 7), cut=(3, 4))
    spans = [(doc, 8 * i, 8 * i + 12) for doc in "xyz" for i in range(8)]
    asked = ("y", 8 * size["cut"] + 12, 8 * size["cut"] + 20)
    query = torch.nn.functional.normalize(numbers(rng, size["d"]), dim=0)
    codes = numbers(rng, len(spans), size["d"])
    for i, (doc, first, last) in enumerate(spans):
        near = doc == "y" and last > asked[1]
        codes[i] += (3.0 if near and first < asked[2] else 1.5 * (doc == "y")) * query
    order = list(range(len(spans)))
    Random(seed).shuffle(order)
    codes = torch.nn.functional.normalize(codes[order], dim=1)
    return codes, [spans[i] for i in order], query, asked


UNEVEN = "codes of uneven lengths"


def check_retrieve(retrieve_of: Callable, seed: int = 0) -> str:
    """Check `retrieve(codes, spans, query, asked, n) -> numbers`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    codes, spans, query, asked = random_index(seed)
    scales = torch.linspace(0.5, 2.0, len(codes), dtype=torch.float64)[:, None]
    uneven = codes * scales
    start = ("y", 0, 6)
    for kind, text, n in (
        ("a text in the middle", asked, 4),
        ("one passage", asked, 1),
        ("many passages", asked, 12),
        ("a document's first tokens", start, 20),
        ("more than there are", start, 30),
        ("a new document", ("w", 8, 30), 5),
        (UNEVEN, asked, 12),
    ):
        codes = uneven if kind == UNEVEN else codes
        what = f"passages for {kind}, n = {n}"
        given = strided(codes), list(spans), strided(query), text, n
        right = retrieve(codes, spans, query, text, n)
        crash = "all" if n > len(right) else "crash"
        got = CHECK.call(retrieve_of, *given, what=what, crash=crash)
        formed = type(got) is list and all(type(i) is int for i in got)
        CHECK.true(formed, "list", what, right, got)
        wrong = {s: retrieve(codes, spans, query, text, n, s) for s in SLIPS}
        wrong = {slip: one for slip, one in wrong.items() if one != right}
        wrong = {slip: one for slip, one in wrong.items() if one}
        default = "product" if kind == UNEVEN else "all" if n > len(right) else "ranked"
        CHECK.equal(got, right, default, what, wrong)
    return "Exercise 4: passages that do not hold the answer."
