"""BM25: lexical ranking, by the words that query and document share. The baseline of
any trained retriever.

Symbols: N documents, df how many of them have a word, tf how often a document has it,
dl its length in words, avg their mean length. A rare word counts more (idf), a repeated
one ever less (k1), and one in a long document less than in a short one (b).

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and
    Beyond", section 3.

Terms:
    BM25, Okapi BM25: ranks documents by the words they share with the query, rare words
        first, long documents last -> BM25
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Split into lower-case words of letters and digits; an underscore parts words.

    >>> words("Read_the ConfigParser's file!")
    ['read', 'the', 'configparser', 's', 'file']
    """
    return _WORD.findall(text.lower())


class BM25:
    """An index of texts, to be asked for their scores.

    *Equation*: score(q, d) = sum over words w of q of idf(w) tf (k1 + 1) / (tf + k1 (1
    - b + b dl / avg)), idf(w) = ln(1 + (N - df + 1/2) / (df + 1/2)).

    Args:
        texts: the documents, at least one word in all.
        k1: how soon repetition stops to count.
        b: how much length is held against a document, 0 to 1.

    Raises:
        ValueError: no text has a word, `k1` is negative, or `b` is not between 0 and 1.

    *Cost*: memory of one number for each different word of each text; a query looks up
        its own words.
    *Differs from source*: the 1 inside the logarithm, as in Lucene, keeps the idf of
        common words above 0.

    >>> index = BM25(["a cat sat", "a dog sat and sat", "no"])
    >>> [round(score, 3) for score in index.scores("dog sat").tolist()]
    [0.47, 1.315, 0.0]
    """

    def __init__(
        self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75
    ) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"k1={k1}, b={b}: allowed are k1 >= 0 and 0 <= b <= 1")
        counts = [Counter(words(text)) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        if not sum(lengths):
            raise ValueError(
                f"texts has {len(texts)} texts without a word: "
                "allowed is one word or more"
            )
        average = sum(lengths) / len(texts)
        frequency = Counter(word for count in counts for word in count)
        self.size = len(texts)
        self._weights: dict[str, list[tuple[int, float]]] = {
            word: [] for word in frequency
        }
        for i, (count, length) in enumerate(zip(counts, lengths, strict=True)):
            long = k1 * (1 - b + b * length / average)
            for word, tf in count.items():
                idf = math.log(
                    1 + (self.size - frequency[word] + 0.5) / (frequency[word] + 0.5)
                )
                self._weights[word].append((i, idf * tf * (k1 + 1) / (tf + long)))

    def scores(self, query: str) -> Float[Tensor, " n"]:
        """Return the score of every text, float64 [n]; a word that the query repeats
        counts each time.
        """
        found = [0.0] * self.size
        for word in words(query):
            for i, weight in self._weights.get(word, ()):
                found[i] += weight
        return torch.tensor(found, dtype=torch.float64)

    def score_all(self, queries: Sequence[str]) -> Float[Tensor, "q n"]:
        """Return the scores of every text for each query, float64 [q n]."""
        return torch.stack([self.scores(query) for query in queries])
