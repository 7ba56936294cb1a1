"""A language model as a scorer: each score against one pass over the whole text."""

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers
from torch.testing import assert_close

from course_lib.evaluate.lm_scoring import (
    ASKED,
    first_token_scores,
    log_likelihoods,
    query_likelihood,
    yes_over_no,
)
from course_lib.models.build import build_model
from course_lib.models.real.load import RealLM
from course_lib.models.real.text import RealTokenizer
from course_lib.specs.small import small_llama

TEMPLATE = "{% for m in messages %}<{{ m.content }}>{% endfor %}"


def byte_engine() -> tokenizers.Tokenizer:
    vocabulary = {sign: i for i, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    engine = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.decoder = decoders.ByteLevel()
    return engine


@pytest.fixture
def lm() -> RealLM:
    torch.manual_seed(0)
    model = build_model(small_llama(16, ffn=24, vocab=256)).double().eval()
    return RealLM("tiny", model, RealTokenizer(byte_engine(), chat_template=TEMPLATE), "float64")


def whole(lm: RealLM, prompt: str, continuation: str) -> float:
    start, end = (lm.tokenizer.encode(text) for text in (prompt, continuation))
    logits = lm.model(torch.cat([start, end])[None])[0, len(start) - 1 : -1]
    return logits.log_softmax(-1).gather(-1, end[:, None]).sum().item()


def test_a_likelihood_is_that_of_one_pass_whatever_the_padding(lm):
    prompts = ["a", "a longer prompt", "mid size"]
    found = log_likelihoods(lm, prompts, " and so on")
    assert_close(found.tolist(), [whole(lm, prompt, " and so on") for prompt in prompts])
    assert_close(log_likelihoods(lm, prompts[:1], "x").item(), whole(lm, "a", "x"))


def test_a_query_is_scored_behind_each_text(lm):
    found = query_likelihood(lm, "where", ["this", "that text"])
    assert_close(found.tolist(), [whole(lm, ASKED.format(text=t), " where") for t in ("this", "that text")])


def test_yes_over_no_is_a_difference_of_two_logits_at_the_end_of_the_question(lm):
    both = yes_over_no(lm, "q", ["short", "a much longer passage"])
    alone = torch.cat([yes_over_no(lm, "q", [text]) for text in ("short", "a much longer passage")])
    assert_close(both, alone)


def test_first_tokens_are_scored_behind_a_shared_prefix(lm):
    asked = ["one?", "another one?", "x"]
    with pytest.raises(ValueError, match="unlike first tokens"):  # a space before every name
        first_token_scores(lm, "Names.", asked, ["a", "b"])
    found = first_token_scores(lm, "Names.", asked, ["a"], batch=2)
    assert_close(found[:, 0].tolist(), [whole(lm, "Names." + text, " ") for text in asked])


@pytest.mark.parametrize(("prompts", "continuation"), [([], "x"), (["x"], "")])
def test_nothing_to_score_is_refused(lm, prompts, continuation):
    with pytest.raises(ValueError, match="allowed are one prompt or more and a text"):
        log_likelihoods(lm, prompts, continuation)


def test_no_text_is_refused(lm):
    with pytest.raises(ValueError, match="texts is empty"):
        yes_over_no(lm, "q", [])
