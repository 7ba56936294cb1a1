"""Lab 1, exercise 1: the masks of four prototypes.

Symbols: b rows, n tokens. `real [b n]` is False at padding. A mask [b n n] is True
where a query (row) may attend to a key (column). Padding attends to nothing, and
nothing attends to padding.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided
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
    "each_packed": "Each row has documents of its own.",
    "each_real": "Each row has padding of its own length, or none.",
}
CHECK = Checker("Exercise 1", HINTS)
Mistakes = list[tuple[str, Tensor]]


def check_encoder_mask(encoder_mask, seed: int = 0) -> str:
    """Check `encoder_mask(real)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do the three other checks.
    """
    for real in _reals(seed):
        held, query, key, both = _places(real)
        mistakes = [
            ("encoder", both & (key <= query)),
            ("encoder", both & (key >= query)),
            ("itself", both & (key != query)),
            ("padding_read", torch.ones_like(both)),
            ("each_real", _of_first(both)),
        ]
        right = BIDIRECTIONAL.mask(held, held)
        _compare("encoder_mask", encoder_mask, (real,), right, real, mistakes)
    return "Exercise 1: an encoder reads everything that is there."


def check_decoder_mask(decoder_mask, seed: int = 0) -> str:
    """Check `decoder_mask(real)`."""
    for real in _reals(seed):
        held, query, key, both = _places(real)
        right = CAUSAL.mask(held, held)
        mistakes = [
            ("decoder", both & (key >= query)),
            ("decoder", both),
            ("itself", both & (key < query)),
            ("each_real", _of_first(right)),
        ]
        _compare("decoder_mask", decoder_mask, (real,), right, real, mistakes)
    return "Exercise 1: a decoder reads itself and what stands before it."


def check_prefix_mask(prefix_mask, seed: int = 0) -> str:
    """Check `prefix_mask(real, lengths)`."""
    rng = torch.Generator().manual_seed(seed)
    for real in _reals(seed):
        b, n = real.shape
        lengths = torch.randint(1, n, (b,), generator=rng)
        lengths[-1] = (2, n, 0)[seed % 3]  # a prefix of everything, or of nothing
        lengths[0] = 3
        held, query, key, both = _places(real)
        right = prefix(lengths).mask(held, held)
        mistakes = _prefix_mistakes(both, query, key, lengths)
        given = real, lengths
        _compare("prefix_mask", prefix_mask, given, right, real, mistakes)
    return "Exercise 1: a prefix is open, and what follows is causal."


def _prefix_mistakes(
    both: Tensor, query: Tensor, key: Tensor, lengths: Tensor
) -> Mistakes:
    inside, causal = lengths[:, None, None], key <= query
    opened = (query < inside) & (key < inside)
    return [
        ("prefix_edge", both & (causal | (key <= inside))),
        ("prefix_edge", both & (causal | (key < inside - 1))),
        ("answer_ahead", both & (causal | (query < inside))),
        ("answer_ahead", both),
        ("prefix_closed", both & causal),
        ("answer_reads", both & (opened | ((query >= inside) & (key < inside)))),
        (
            "answer_reads",
            both & (opened | ((query >= inside) & (key >= inside) & causal)),
        ),
        ("each_row", both & (causal | (key < lengths[0]))),
        ("each_row", both & (causal | (key < lengths.max()))),
        ("each_row", both & (causal | (key < lengths.min()))),
    ]


def check_packed_mask(packed_mask, seed: int = 0) -> str:
    """Check `packed_mask(documents)`."""
    for documents in _rows_of_documents(seed):
        filled = documents >= 0
        held, query, key, both = _places(filled)
        same = documents[:, :, None] == documents[:, None, :]
        right = (CAUSAL & same_document(documents)).mask(held, held)
        causal = both & (key <= query)
        first_lost = right & (documents > 0)[:, :, None]
        mistakes = [
            ("document", causal),
            ("document", causal & _pairs(documents)),
            ("document", causal & (documents[:, :, None] >= documents[:, None, :])),
            ("numbers", first_lost),
            ("document_causal", both & same),
            ("document_causal", both & same & (key >= query)),
            ("itself", both & same & (key < query)),
            ("each_packed", _of_first(right)),
        ]
        given = (documents,)
        _compare("packed_mask", packed_mask, given, right, filled, mistakes)
    return "Exercise 1: four prototypes, told apart by who reads whom."


def _reals(seed: int) -> list[Tensor]:
    """Rows with and without padding, one row alone, a row of padding alone, an odd
    number of tokens.
    """
    _, size = random_sizes(seed, n=(6, 9), pad=(1, 2))
    n = size["n"]
    many = torch.ones(4, n, dtype=torch.bool)
    many[1, n - size["pad"] :] = False
    many[2, 2:] = False
    many[3] = False
    return [many[:3], many[1:2], strided(many), torch.ones(2, 7, dtype=torch.bool)]


def _rows_of_documents(seed: int) -> list[Tensor]:
    """Rows of one to four documents, one of them a single token; some with padding."""
    rng, size = random_sizes(seed, n=(7, 9))
    n = size["n"]
    cuts = torch.rand(3, n, generator=rng) < 0.4
    cuts[:, 0], cuts[0, 2:4], cuts[2] = False, True, False
    documents = cuts.long().cumsum(1)
    whole = documents.clone()
    documents[0, n - 1], documents[1, n - 2 :] = -1, -1
    return [documents, whole[1:2], strided(whole), torch.full((1, 3), -1)]


def _places(real: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions with -1 at padding, places of queries and of keys, and both real."""
    places = torch.arange(real.shape[1])[None].expand(real.shape)
    both = real[:, :, None] & real[:, None, :]
    held = places.masked_fill(~real, -1)
    return held, places[:, :, None], places[:, None, :], both


def _pairs(documents: Tensor) -> Tensor:
    """The first document told from all others, and these not from one another."""
    return (documents > 0)[:, :, None] == (documents > 0)[:, None, :]


def _of_first(mask: Tensor) -> Tensor:
    return mask[:1].expand(mask.shape)


def _compare(
    name: str, make, given: tuple, right: Tensor, real: Tensor, mistakes: Mistakes
) -> None:
    got = CHECK.call(make, *given, what=f"{name} of {len(real)} rows")
    is_mask = (
        isinstance(got, Tensor) and got.shape == right.shape and got.dtype == torch.bool
    )
    told = f"what {name} returns"
    CHECK.true(is_mask, "shape", told, f"bool {tuple(right.shape)}", _kind(got))
    if torch.equal(got, right):
        return
    fitting = next((hint for hint, mask in mistakes if torch.equal(got, mask)), None)
    fitting = fitting or _by_padding(got, right, real) or "compare"
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
