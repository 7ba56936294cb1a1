"""Tokenizer: text to bytes, and to byte pairs merged into longer tokens (BPE), and
back.

One numbering serves every task of the course, so that a model trained on one can read
another:

    0 .. 255      the bytes
    256 .. 267    control tokens: padding, begin, end, mask, separator, class, roles
    268 .. 367    sentinels, which stand for a span that was taken out
    368 ..        merges of a BPE, in the order they were learned; none for plain bytes

Text never becomes a control token or a sentinel: `encode` only ever writes bytes and
merges of bytes. So what a user types cannot end a turn or open one, however it is
spelled.

Source: BPE for text, Sennrich et al. 2016, arXiv:1508.07909; over bytes, Radford et al.
2019 (GPT-2), section 2.2; sentinels, Raffel et al. 2020 (T5), arXiv:1910.10683, section
3.1.4.

Terms:
    byte tokenizer, byte-level tokens: every byte of the text is a token -> Tokenizer
    BPE, byte-pair encoding: frequent pairs of tokens are merged
        into new tokens, again and again -> train_bpe
    control token, special token: a token that no text can spell: padding, begin, end,
        mask, roles -> CONTROLS
    sentinel, sentinel token: a token that stands for a span taken out -> sentinel
"""

import json
from collections.abc import Iterable, Sequence

import tokenizers
import torch
from jaxtyping import Int
from tokenizers import models, pre_tokenizers, trainers
from torch import Tensor

from course_lib.tasks.corpora import VOCAB as BYTES
from course_lib.tasks.corpora import as_tokens, pydoc_topics, stdlib_source

CONTROLS = (
    "pad",
    "bos",
    "eos",
    "mask",
    "sep",
    "cls",
    "system",
    "user",
    "assistant",
    "tool",
    "call",
    "end",
)
PAD, BOS, EOS, MASK, SEP, CLS, SYSTEM, USER, ASSISTANT, TOOL, CALL, END = range(
    BYTES, BYTES + len(CONTROLS)
)
FIRST_SENTINEL, SENTINELS = BYTES + len(CONTROLS), 100
FIRST_MERGE = FIRST_SENTINEL + SENTINELS

Merge = tuple[bytes, bytes]


def sentinel(index: int) -> int:
    """Return the token that stands for span `index`, counted from 0.

    Raises:
        ValueError: there is no such sentinel.

    >>> sentinel(0), sentinel(99)
    (268, 367)
    """
    if not 0 <= index < SENTINELS:
        raise ValueError(
            f"index={index}: allowed are 0 to {SENTINELS - 1}; cut the text into "
            "shorter pieces"
        )
    return FIRST_SENTINEL + index


class Tokenizer:
    """Bytes, and merges of bytes where some were learned.

    Args:
        merges: pairs of tokens, each as its bytes, in the order of learning; each part
            is a byte or an earlier merge.

    Attributes:
        merges: as given.
        vocab: number of tokens, `368 + len(merges)`.

    Raises:
        ValueError: a merge is made twice, or of a part that is neither a byte nor an
        earlier merge.

    *Cost*: O(n log n) for n bytes of text; decoding is one table look-up a token.

    >>> tokenizer = Tokenizer([(b"t", b"h"), (b"th", b"e")])
    >>> tokenizer.encode("the path").tolist()
    [369, 32, 112, 97, 368]
    >>> tokenizer.decode(tokenizer.encode("the path")), tokenizer.vocab
    ('the path', 370)
    """

    def __init__(self, merges: Sequence[Merge] = ()) -> None:
        self.merges = tuple(merges)
        self._bytes = [bytes([b]) for b in range(BYTES)] + [b""] * (FIRST_MERGE - BYTES)
        number = {data: token for token, data in enumerate(self._bytes) if data}
        for left, right in self.merges:
            if left not in number or right not in number or left + right in number:
                raise ValueError(
                    f"merges has {left!r} + {right!r}: allowed are two bytes or "
                    "earlier merges, joined once"
                )
            number[left + right] = len(self._bytes)
            self._bytes.append(left + right)
        self._engine = _engine(number, self.merges) if self.merges else None

    @property
    def vocab(self) -> int:
        """Number of tokens: the width that a model's embedding needs."""
        return len(self._bytes)

    def encode(self, text: str) -> Int[Tensor, " n"]:
        """Turn text into tokens, int64 [n]. No control token is added, and none can
        come out.

        Raises:
            UnicodeEncodeError (a ValueError): the text holds half a surrogate pair,
            which has no UTF-8 form.
        """
        data = text.encode()
        if self._engine is None:
            return as_tokens(data)
        return torch.tensor(self._engine.encode(text).ids, dtype=torch.int64)

    def decode(self, tokens: Int[Tensor, " n"] | Sequence[int]) -> str:
        """Turn tokens into text. Control tokens and sentinels have none; broken UTF-8
        becomes U+FFFD.

        Raises:
            ValueError: a token is outside the vocabulary.

        >>> Tokenizer().decode([BOS, 104, 105, EOS])
        'hi'
        """
        return b"".join(self.bytes_of(int(token)) for token in tokens).decode(
            errors="replace"
        )

    def bytes_of(self, token: int) -> bytes:
        """Return the bytes that a token stands for: empty for control tokens and
        sentinels.

        Raises:
            ValueError: the token is outside the vocabulary.
        """
        if not 0 <= token < self.vocab:
            raise ValueError(f"token={token}: allowed are 0 to {self.vocab - 1}")
        return self._bytes[token]

    def pieces(self, tokens: Int[Tensor, " n"] | Sequence[int]) -> list[str]:
        """Show each token for a reader: its text, `<name>` for a control token, `<0>`
        for a sentinel.

        A piece of broken UTF-8 is shown as U+FFFD: show pieces, but never join them to
        get the text back.

        >>> Tokenizer().pieces([BOS, 104, sentinel(1), END])
        ['<bos>', 'h', '<1>', '<end>']
        """
        return [self._piece(int(token)) for token in tokens]

    def _piece(self, token: int) -> str:
        if PAD <= token < FIRST_SENTINEL:
            return f"<{CONTROLS[token - PAD]}>"
        if FIRST_SENTINEL <= token < FIRST_MERGE:
            return f"<{token - FIRST_SENTINEL}>"
        return self.bytes_of(token).decode(errors="replace")


def train_bpe(texts: Iterable[str], merges: int) -> Tokenizer:
    """Learn `merges` merges: again and again join the pair of neighbours that is seen
    most.

    Text is first cut into words with GPT-2's pattern, and no merge crosses a cut. Of
    pairs seen equally often, the one whose parts come first in the vocabulary wins, so
    the same texts give the same merges.

    Args:
        texts: what to learn from.
        merges: how many to learn, at least 1; fewer come out when no pair is left.

    Raises:
        ValueError: `merges` is below 1.

    *Source*: Sennrich et al. 2016, algorithm 1; the cuts, GPT-2's `encoder.py`.

    >>> train_bpe(["low lower lowest"], merges=3).merges
    ((b'l', b'o'), (b'lo', b'w'), (b' ', b'low'))
    """
    if merges < 1:
        raise ValueError(f"merges={merges}: allowed are whole numbers from 1")
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = _words()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES + merges, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    return Tokenizer(
        [(_unprintable(left), _unprintable(right)) for left, right in learned]
    )


def stdlib_bpe(
    merges: int = 656, *, max_bytes: int = 1_000_000, seed: int = 0
) -> Tokenizer:
    """Learn a BPE from the training half of `stdlib_source` and from the language
    reference.

    The validation files of the same `max_bytes` and `seed` are not read. 656 merges
    make 1,024 tokens.

    Args:
        merges, max_bytes, seed: as in `train_bpe` and `stdlib_source`.

    *Cost*: half a second for the default.
    """
    source = bytes(stdlib_source(max_bytes, seed).train.tolist()).decode(
        errors="ignore"
    )
    return train_bpe([source, *pydoc_topics().values()], merges)


def _words() -> pre_tokenizers.PreTokenizer:
    """GPT-2's cuts; inside a word each byte is written as one printable character."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _byte_characters() -> dict[int, str]:
    """Byte -> the character that `ByteLevel` writes for it: itself if it can be seen,
    else from U+0100 on.
    """
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(BYTES) if b not in seen]
    return {b: chr(b) for b in seen} | {b: chr(0x100 + i) for i, b in enumerate(hidden)}


_CHARACTERS = _byte_characters()
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}


def _printable(data: bytes) -> str:
    return "".join(_CHARACTERS[b] for b in data)


def _unprintable(text: str) -> bytes:
    return bytes(_BYTES[character] for character in text)


def _engine(number: dict[bytes, int], merges: Sequence[Merge]) -> tokenizers.Tokenizer:
    vocabulary = {_printable(data): token for data, token in number.items()}
    pairs = [(_printable(left), _printable(right)) for left, right in merges]
    engine = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    engine.pre_tokenizer = _words()
    return engine
