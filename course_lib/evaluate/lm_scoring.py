"""A language model as a scorer: how likely it finds a text after a prompt, and how much
more "yes" than "no" it would answer. Nothing is generated.

Symbols: n prompts, q tokens of the continuation. The prompts run through the model
once, padded on the left, and fill a cache; the continuation is then scored on it, so
logits are made for its tokens alone.

    query likelihood    log p(query | document): a document ranks high if the query
                        would have been a likely thing to say after it
    yes or no           logit(yes) - logit(no) at the end of a question about the pair
    labels              log p of each label's first token after a question

Terms:
    query likelihood, log-likelihood reranking: rank documents by the probability that
        a language model gives the query after each of them -> query_likelihood
    pointwise reranking, relevance judgement, LLM as a judge: ask a chat model whether a
        document answers the query, and read the logits of its answer -> yes_over_no
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.real.load import RealLM

PAD = -1
ASKED = "{text}\n\nThe text above answers this search query:"
QUESTION = (
    "Query: {query}\n\nPassage: {text}\n\n"
    "Is this passage relevant to the query? Answer yes or no."
)


@torch.no_grad()
def log_likelihoods(
    lm: RealLM, prompts: Sequence[str], continuation: str
) -> Float[Tensor, " n"]:
    """The log-probability of one continuation after each prompt, in nats.

    *Equation*: sum over i of log p(c_i | prompt, c_1 .. c_(i - 1)).

    Args:
        prompts: at least one, none empty.
        continuation: not empty; tokenised by itself, so that every prompt is followed
            by the same tokens.

    Raises:
        ValueError: there is no prompt, or the continuation is empty.

    *Cost*: one forward pass over all tokens, and logits for n q of them.
    """
    if not prompts or not continuation:
        raise ValueError(
            f"{len(prompts)} prompts, continuation={continuation!r}: allowed are one "
            "prompt or more and a text"
        )
    wanted = lm.tokenizer.encode(continuation, controls=False)
    tokens, places = _left_padded(
        [lm.tokenizer.encode(prompt, controls=False) for prompt in prompts]
    )
    n, q = len(prompts), len(wanted)
    cache = lm.model.make_cache(n, tokens.shape[1] + q)
    logits = [lm.model(tokens, places, cache, last_only=True)]
    if q > 1:
        given = wanted[:-1].expand(n, q - 1)
        after = places[:, -1:] + 1 + torch.arange(q - 1)
        logits.append(lm.model(given, after, cache))
    chosen = torch.cat(logits, dim=1).log_softmax(-1)
    return chosen.gather(-1, wanted.expand(n, q)[..., None])[..., 0].sum(dim=1)


def query_likelihood(
    lm: RealLM, query: str, texts: Sequence[str]
) -> Float[Tensor, " n"]:
    """log p(query | text), of a model that is told that the query follows: a score for
    each text.

    Raises:
        ValueError: there is no text, or the query is empty.

    *Source*: Ponte and Croft 1998 (the idea, with word counts); Sachan et al. 2022,
        arXiv:2204.07496 (with a language model).
    """
    prompts = [ASKED.format(text=text) for text in texts]
    return log_likelihoods(lm, prompts, " " + query if query else "")


@torch.no_grad()
def yes_over_no(lm: RealLM, query: str, texts: Sequence[str]) -> Float[Tensor, " n"]:
    """logit("Yes") - logit("No") of a chat model's first word, asked whether each text
    belongs to the query.

    Raises:
        ValueError: there is no text.
    """
    if not texts:
        raise ValueError("texts is empty: allowed is one text or more")
    turns = [
        [{"role": "user", "content": QUESTION.format(text=text, query=query)}]
        for text in texts
    ]
    tokens, places = _left_padded([lm.tokenizer.chat(turn) for turn in turns])
    yes, no = (int(lm.tokenizer.encode(word)[0]) for word in ("Yes", "No"))
    logits = lm.model(tokens, places, last_only=True)[:, -1]
    return logits[:, yes] - logits[:, no]


@torch.no_grad()
def first_token_scores(
    lm: RealLM,
    prefix: str,
    questions: Sequence[str],
    names: Sequence[str],
    *,
    batch: int = 32,
) -> Float[Tensor, "q n"]:
    """How likely each name is to follow each question, by its first token: log-odds in
    one pass a question, behind a prefix that all questions share.

    Args:
        prefix: instructions and examples, not empty; its keys and values are made once
            for `batch` questions.
        questions: at least one.
        names: whose first tokens, a space before them, differ.

    Raises:
        ValueError: two names begin with the same token.
    """
    first = [int(lm.tokenizer.encode(" " + name)[0]) for name in names]
    if len(set(first)) < len(first):
        raise ValueError(f"names={list(names)}: allowed are unlike first tokens")
    head, found = lm.tokenizer.encode(prefix, controls=False)[None], []
    for start in range(0, len(questions), batch):
        rows = [
            lm.tokenizer.encode(text, controls=False)
            for text in questions[start : start + batch]
        ]
        tokens, places = _left_padded(rows)
        room = head.shape[1] + tokens.shape[1]
        cache = lm.model.make_cache(1, room)
        lm.model(head, cache=cache, last_only=True)
        cache.select(torch.zeros(len(rows), dtype=torch.int64))
        places = torch.where(places < 0, places, places + head.shape[1])
        logits = lm.model(tokens, places, cache, last_only=True)[:, -1]
        found.append(logits.log_softmax(-1)[:, first])
    return torch.cat(found)


def _left_padded(
    rows: Sequence[Int[Tensor, " _"]],
) -> tuple[Int[Tensor, "n t"], Int[Tensor, "n t"]]:
    """Tokens and positions; the padding's tokens are 0, its positions -1."""
    tokens = nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=PAD, padding_side="left"
    )
    return tokens.clamp(min=0), positions_from_padding(tokens != PAD)
