"""Special tokens: the numbers that a tokenizer keeps for what is no text.

An objective (`train.objectives`) has to know which token pads a row, which hides a
word, which stands for a span. It takes them as an argument, so it serves any tokenizer;
by default they are those of `tasks.tokenizer`.

Terms:
    special tokens, control tokens: the numbers a tokenizer keeps for padding, masks,
        ends -> SpecialTokens
"""

from dataclasses import dataclass

from course_lib.tasks import tokenizer


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The tokens that objectives write, and the range in which there is no text.

    Attributes:
        pad: fills a row up; never read, never a target.
        bos, eos: begin and end of a text.
        mask: stands for what was hidden, however long.
        sep: between two texts in one row.
        sentinels: stand for spans that were taken out, numbered from 0.
        reserved: all tokens that are no text, one range; text is below and above it.

    Raises:
        ValueError: a token is not in `reserved`.

    >>> BYTE_TOKENS.pad, BYTE_TOKENS.sentinels[0], len(BYTE_TOKENS.reserved)
    (256, 268, 112)
    """

    pad: int
    bos: int
    eos: int
    mask: int
    sep: int
    sentinels: range
    reserved: range

    def __post_init__(self) -> None:
        for token in (self.pad, self.bos, self.eos, self.mask, self.sep):
            if token not in self.reserved:
                raise ValueError(f"token {token}: allowed are those in {self.reserved}")
        if not set(self.sentinels) <= set(self.reserved):
            raise ValueError(
                f"sentinels={self.sentinels}: allowed are those in {self.reserved}"
            )


BYTE_TOKENS = SpecialTokens(
    pad=tokenizer.PAD,
    bos=tokenizer.BOS,
    eos=tokenizer.EOS,
    mask=tokenizer.MASK,
    sep=tokenizer.SEP,
    sentinels=range(tokenizer.FIRST_SENTINEL, tokenizer.FIRST_MERGE),
    reserved=range(tokenizer.BYTES, tokenizer.FIRST_MERGE),
)
