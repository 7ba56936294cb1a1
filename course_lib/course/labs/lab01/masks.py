"""Lab 1, exercise 1: the masks of four prototypes.

Symbols: b rows, n tokens. `real [b n]` is False at padding. A mask [b n n] is True
where a query (row) may read a key (column). Padding reads nothing, and nothing reads
padding.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, prefix, same_document

HINTS = {
    "padding_read": "Nobody may read padding: every column of "
    "a padding token is False.",
    "padding_reads": "Padding reads nothing: every row of a padding token is False.",
    "encoder": "In an encoder every real token reads every real "
    "token, those after it among them.",
    "decoder": "A decoder's token reads itself and what stands before it.",
    "itself": "A token reads itself.",
    "prefix_edge": "A prefix of p tokens is the tokens 0 to p - 1; token p is the "
    "first of the answer.",
    "answer_ahead": "Only the prefix is open. Tokens of the answer may not be read "
    "from before.",
    "prefix_closed": "Within the prefix everyone reads everyone, also ahead.",
    "answer_reads": "The answer reads the whole prefix and the answer so far.",
    "each_row": "Each row has a prefix of its own length.",
    "document": "A token reads only tokens of its own document.",
    "numbers": "Documents are numbered from 0: only -1 is padding.",
    "document_causal": "Within its document a token reads itself "
    "and what stands before it.",
    "shape": "A mask is a bool tensor [b n n].",
}
CHECK = Checker("Exercise 1", HINTS)


def check(encoder_mask, decoder_mask, prefix_mask, packed_mask, seed: int = 0) -> str:
    """Check exercise 1: `encoder_mask(real)`, `decoder_mask(real)`, `prefix_mask(real,
    lengths)` and `packed_mask(documents)`, each giving [b n n].

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(seed, n=(6, 8), pad=(1, 2), left=(2, 3), right=(4, 5))
    n = size["n"]
    real = torch.ones(3, n, dtype=torch.bool)
    real[1, n - size["pad"] :] = False
    places = torch.arange(n)[None].expand(3, n)
    held = places.masked_fill(~real, -1)
    query, key = places[:, :, None], places[:, None, :]
    both = real[:, :, None] & real[:, None, :]

    everyone = torch.ones(3, n, n, dtype=torch.bool)
    wrong = {
        "decoder": ("encoder", both & (key <= query)),
        "open": ("padding_read", everyone),
    }
    _compare(
        "encoder_mask",
        lambda: encoder_mask(real),
        BIDIRECTIONAL.mask(held, held),
        real,
        wrong,
    )

    wrong = {
        "reversed": ("decoder", both & (key >= query)),
        "open": ("decoder", both),
        "not_itself": ("itself", both & (key < query)),
    }
    _compare(
        "decoder_mask", lambda: decoder_mask(real), CAUSAL.mask(held, held), real, wrong
    )

    lengths = torch.tensor([size["left"], 3, size["right"]])
    inside = lengths[:, None, None]
    opened = (query < inside) & (key < inside)
    wrong = {
        "one_more": ("prefix_edge", both & ((key <= query) | (key <= inside))),
        "one_less": ("prefix_edge", both & ((key <= query) | (key < inside - 1))),
        "ahead": ("answer_ahead", both & ((key <= query) | (query < inside))),
        "all_open": ("answer_ahead", both),
        "causal": ("prefix_closed", both & (key <= query)),
        "prefix_only": (
            "answer_reads",
            both & (opened | ((query >= inside) & (key < inside))),
        ),
        "apart": (
            "answer_reads",
            both & (opened | ((query >= inside) & (key >= inside) & (key <= query))),
        ),
        "first_row": ("each_row", both & ((key <= query) | (key < lengths[0]))),
        "longest": ("each_row", both & ((key <= query) | (key < lengths.max()))),
    }
    _compare(
        "prefix_mask",
        lambda: prefix_mask(real, lengths),
        prefix(lengths).mask(held, held),
        real,
        wrong,
    )

    cuts = torch.randint(1, n - 2, (2, 1), generator=rng)
    documents = (
        (torch.arange(n)[None] >= cuts)
        .long()
        .masked_fill(torch.arange(n)[None] >= n - 1, -1)
    )
    filled = documents >= 0
    places = torch.arange(n)[None].expand(2, n).masked_fill(~filled, -1)
    query, key, both = (
        places[:, :, None],
        places[:, None, :],
        filled[:, :, None] & filled[:, None, :],
    )
    same = documents[:, :, None] == documents[:, None, :]
    first_lost = both & same & (key <= query) & (documents > 0)[:, :, None]
    wrong = {
        "leaks": ("document", both & (key <= query)),
        "first_is_padding": ("numbers", first_lost),
        "open": ("document_causal", both & same),
        "not_itself": ("itself", both & same & (key < query)),
    }
    right = (CAUSAL & same_document(documents)).mask(places, places)
    _compare("packed_mask", lambda: packed_mask(documents), right, filled, wrong)
    return "Exercise 1: four prototypes, told apart by who reads whom."


def _compare(
    name: str, make, right: Tensor, real: Tensor, wrong: dict[str, tuple[str, Tensor]]
) -> None:
    with CHECK.doing("shape", name):
        got = make()
    is_mask = (
        isinstance(got, Tensor) and got.shape == right.shape and got.dtype == torch.bool
    )
    CHECK.true(
        is_mask, "shape", f"what {name} returns", "bool "
                                                  f"{tuple(right.shape)}", _kind(got)
    )  # fmt: skip
    if torch.equal(got, right):
        return
    fitting = next(
        (hint for hint, mask in wrong.values() if torch.equal(got, mask)), None
    )
    if fitting is None:
        fitting = _by_padding(got, right, real) or next(iter(wrong.values()))[0]
    row, query = map(int, (got != right).any(-1).nonzero()[0])
    seen = [mask[row, query].nonzero().flatten().tolist() for mask in (right, got)]
    CHECK.fail(fitting, f"{name}: what token {query} of row {row} reads", *seen)


def _by_padding(got: Tensor, right: Tensor, real: Tensor) -> str | None:
    """The hint where only padding is wrong."""
    columns, rows = ~real[:, None, :].expand_as(got), ~real[:, :, None].expand_as(got)
    if torch.equal(got & ~columns & ~rows, right):
        return (
            "padding_read" if bool((got & columns & ~rows).any()) else "padding_reads"
        )
    return None


def _kind(got: object) -> str:
    return (
        f"{got.dtype} {tuple(got.shape)}"
        if isinstance(got, Tensor)
        else type(got).__name__
    )
