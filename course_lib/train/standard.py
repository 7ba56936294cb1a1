"""The standard run: the model, the text and the budget that the course's recorded
comparisons share.

Bytes of 2 MB of the standard library's source, split by file; a Llama of 4 blocks, 64
wide, 217,664 parameters; 8 rows of 64 bytes an update, AdamW at 4e-3, a tenth of the
updates for the warm-up, then a line to zero; every matrix starts by fan-in. After 700
updates such a model is clearly below a trigram's loss, after 1,400 it is level with a
4-gram's: attention, feed-forward networks and depth are all in use by then, and what
takes one away costs a tenth of a nat. Before that, at a bigram's loss, none of them is.

Terms:
    standard run: the model, text and budget of the recorded comparisons -> stdlib_task
    n-gram line, baseline of a loss curve: what a count table reaches on the same
        held-out bytes -> ngram_lines
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from course_lib.evaluate.ngrams import kneser_ney
from course_lib.specs.small import small_llama
from course_lib.tasks.corpora import Corpus, blocks, sample, stdlib_source
from course_lib.train.experiment import Task

STANDARD = small_llama(64, layers=4, heads=4, ffn=176)
BYTES = 2_000_000
ROWS, LENGTH = 8, 64
HELD_OUT_ROWS = 800  # 51,200 targets, spread evenly over the held-out files
ORDERS = {1: "unigram", 2: "bigram", 3: "trigram", 4: "4-gram"}
BELOW_TRIGRAM = 0.15  # nats per byte; above it a comparison does not count


@cache
def stdlib_text(max_bytes: int = BYTES) -> Corpus:
    """The text of the standard run, read once."""
    return stdlib_source(max_bytes)


def held_out_rows(
    tokens: Tensor, length: int = LENGTH, rows: int = HELD_OUT_ROWS
) -> Tensor:
    """Rows of `length + 1` tokens, evenly spread over a stream: [rows length+1].

    Raises:
        ValueError: the stream holds fewer.
    """
    (whole,) = blocks(tokens, len(tokens), length)
    together = torch.cat([whole[0], whole[1][:, -1:]], dim=1)
    if len(together) < rows:
        raise ValueError(f"rows={rows}: allowed are at most {len(together)} here")
    return together[torch.arange(rows) * len(together) // rows]


def ngram_lines(train: Tensor, rows: Tensor, vocab: int = 256) -> Mapping[str, float]:
    """Interpolated Kneser-Ney of order 1 to 4, counted on `train` and scored on the
    targets of `rows` [b t+1]; nats per token.
    """
    found = kneser_ney(train, rows, orders=max(ORDERS), vocab=vocab)
    return {ORDERS[order]: loss for order, loss in found.items()}


def stdlib_task(
    *, max_bytes: int = BYTES, rows: int = ROWS, length: int = LENGTH
) -> Task:
    """Next-byte prediction on the standard library's source.

    Args:
        max_bytes: of text, a tenth of them held out.
        rows, length: of a batch.
    """
    text = stdlib_text(max_bytes)
    held_out = held_out_rows(text.valid, length)
    return Task(
        name=f"next byte, {max_bytes:,} bytes of stdlib, {rows} x {length}",
        batch=lambda generator: sample(text.train, rows, length, generator),
        held_out=[(part[:, :-1], part[:, 1:]) for part in held_out.split(32)],
        baselines=lambda: ngram_lines(text.train, held_out),
        bar=("trigram", BELOW_TRIGRAM),
    )
