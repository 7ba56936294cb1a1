"""Retrieval-augmented generation: a retriever finds passages, which stand in the prompt
of a generator.

Symbols: q questions, n passages of the index, k passages in a prompt; r the share of
questions whose passage is among those k, a_1 and a_0 the share answered right with it
and without it.

    retriever    questions -> scores [q n]     lexical: BM25; dense: a sentence encoder
    prompt       the k best passages, the best one last, then the question
    generator    a language model that goes on from there, greedily

    a = r a_1 + (1 - r) a_0

Terms:
    retrieval-augmented generation, RAG: passages that a retriever found are put into
        the prompt of a language model -> Answerer
    fusion in the prompt, in-context retrieval: every layer reads every passage, at the
        price of its tokens -> prompt_with
    lexical retriever, dense retriever: scores by shared words, or by the cosine of
        vectors -> lexical, dense
    rank noise, degraded retriever: noise on the scores, in units of their spread ->
        blurred
    coupling of retriever and generator: the share right as a mean over found and missed
        -> coupled
    closed book: the question alone, without passages -> prompt_with
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from course_lib.models.real.load import RealLM, SentenceEncoder
from course_lib.tasks.bm25 import BM25

Retriever = Callable[[Sequence[str]], Float[Tensor, "q n"]]


def lexical(texts: Sequence[str]) -> Retriever:
    """BM25 over the texts."""
    return BM25(texts).score_all


def dense(texts: Sequence[str], encoder: SentenceEncoder) -> Retriever:
    """The cosine of question and passage, all passages encoded once."""
    index = encoder.embed(texts)
    return lambda questions: encoder.embed(questions) @ index.T


def best(scores: Float[Tensor, " n"], k: int) -> list[int]:
    """The numbers of the k passages with the highest scores, the best first.

    Raises:
        ValueError: `k` is below 1 or above n.

    >>> best(torch.tensor([0.1, 3.0, 2.0]), 2)
    [1, 2]
    """
    if not 1 <= k <= len(scores):
        raise ValueError(f"k={k}: allowed are 1 to {len(scores)}")
    return scores.topk(k).indices.tolist()


def blurred(
    scores: Float[Tensor, "q n"], noise: float, generator: Generator
) -> Float[Tensor, "q n"]:
    """A worse retriever: each score plus noise.

    Args:
        noise: standard deviation, in units of the spread of a question's scores.

    Raises:
        ValueError: `noise` is negative.
    """
    if noise < 0:
        raise ValueError(f"noise={noise}: allowed are numbers from 0")
    drawn = torch.randn(scores.shape, generator=generator, dtype=scores.dtype)
    return scores + noise * scores.std(1, keepdim=True) * drawn


def coupled(found: float, with_it: float, without: float) -> float:
    """The share right, if the passage is found in the share `found`.

    *Equation*: a = r a_1 + (1 - r) a_0.

    Raises:
        ValueError: one of the three is no share.

    >>> round(coupled(0.8, 0.9, 0.3), 2)
    0.78
    """
    for name, share in (("found", found), ("with_it", with_it), ("without", without)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share}: allowed are numbers from 0 to 1")
    return found * with_it + (1 - found) * without


def prompt_with(
    lm: RealLM, question: str, passages: Sequence[str], opening: str = ""
) -> str:
    """The chat that the generator goes on with: passages, question, and how the answer
    begins. Without passages it is closed book.

    Args:
        passages: the best first; in the prompt it stands last, next to the question.
    """
    shown = "\n".join(reversed(passages))
    context = f"Documentation:\n{shown}\n\n" if passages else ""
    turn = f"{context}{question} Answer with the value only."
    return lm.tokenizer.chat_text([{"role": "user", "content": turn}]) + opening


@torch.no_grad()
def complete(
    lm: RealLM,
    text: str,
    *,
    most: int = 10,
    done: Callable[[str], bool] | None = None,
) -> str:
    """Go on with a text greedily, until the model ends its turn, or `done` says of what
    was written that it is enough, or after `most` tokens.

    Raises:
        ValueError: `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"most={most}: allowed are whole numbers from 1")
    tokens, written = lm.tokenizer.encode(text)[None], []
    cache = lm.model.make_cache(1, tokens.shape[1] + most)
    while len(written) < most:
        token = int(lm.model(tokens, cache=cache, last_only=True).argmax())
        if token == lm.tokenizer.end:
            break
        written.append(token)
        if done is not None and done(lm.tokenizer.decode(written)):
            break
        tokens = torch.tensor([[token]])
    return lm.tokenizer.decode(written)


@dataclass(frozen=True)
class Answerer:
    """A retriever and a generator, put together.

    Attributes:
        texts: the index.
        retriever: over these texts.
        lm: the generator.
        k: passages in the prompt.
        most: tokens of an answer.

    *Cost*: one prefill of the k passages and the question, then a step a token.
    """

    texts: Sequence[str]
    retriever: Retriever
    lm: RealLM
    k: int = 2
    most: int = 10

    def find(self, question: str) -> list[int]:
        """The numbers of the k best passages, the best first."""
        return best(self.retriever([question])[0], self.k)

    def __call__(self, question: str, opening: str = "") -> tuple[str, list[int]]:
        """The answer, and the passages that it was written from."""
        found = self.find(question)
        passages = [self.texts[i] for i in found]
        text = prompt_with(self.lm, question, passages, opening)
        return complete(self.lm, text, most=self.most), found
