"""Questions about documentation, and the retriever and generator that answer them."""

import importlib
import inspect
import math
import random

import pytest
import torch

from course_lib.generate.retrieval import Answerer, best, blurred, complete, coupled, lexical, prompt_with
from course_lib.models.build import build_model
from course_lib.models.real.load import RealLM
from course_lib.models.real.text import RealTokenizer
from course_lib.specs.small import small_llama
from course_lib.tasks.defaults import documented_defaults, near_misses, says, spread_questions

from .test_lm_scoring import TEMPLATE, byte_engine

FACTS = documented_defaults()


def tiny_lm() -> RealLM:
    torch.manual_seed(0)
    model = build_model(small_llama(16, ffn=24, vocab=256)).double().eval()
    return RealLM("tiny", model, RealTokenizer(byte_engine(), chat_template=TEMPLATE), "float64")


def test_a_passage_says_what_the_signature_says():
    assert len(FACTS) > 300 and len({fact.question for fact in FACTS}) == len(FACTS)
    for fact in FACTS[:: len(FACTS) // 60]:
        module, name = fact.where.rsplit(".", 1)
        function = getattr(importlib.import_module(module), name)
        default = inspect.signature(function).parameters[fact.parameter].default
        assert math.isclose(float(fact.answer), default) and fact.answer in fact.text
        assert fact.where in fact.passage and fact.answer not in fact.question.split()


def test_questions_spread_over_answers_and_functions():
    taken = spread_questions(FACTS, 40, most=3, rng=random.Random(0))
    answers = [float(FACTS[i].answer) for i in taken]
    places = [FACTS[i].where for i in taken]
    assert len(set(taken)) == 40
    assert max(map(answers.count, answers)) <= 3 and max(map(places.count, places)) <= 2
    with pytest.raises(ValueError, match="count=9999"):
        spread_questions(FACTS, 9999, most=3, rng=random.Random(0))


def test_a_near_miss_has_the_name_and_another_value():
    index = next(i for i, fact in enumerate(FACTS) if fact.question.endswith("eps in torch.nn.BatchNorm1d?"))
    found = [FACTS[i] for i in near_misses(FACTS, index)]
    assert found and {fact.parameter for fact in found} == {"eps"}
    assert all(float(fact.answer) != 1e-5 for fact in found)


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (" 1e-05.", "0.00001", True),
        (" 100.", "10", False),
        (" 10, or 100", "100", False),
        (" -1.", "-1", True),
        (" -1.", "1", False),
        (" 1.0 in", "1", True),
        (" unknown", "0", False),
    ],
)
def test_the_first_number_is_the_answer(text, answer, right):
    assert says(text, answer) is right


def test_noise_is_in_spreads_and_none_leaves_the_ranks():
    scores = torch.randn(6, 400, dtype=torch.float64) * torch.logspace(0, 3, 6)[:, None]
    same = blurred(scores, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(same, scores)
    noisy = blurred(scores, 2.0, torch.Generator().manual_seed(0))
    spread = (noisy - scores).std(1) / scores.std(1)
    assert ((spread > 1.7) & (spread < 2.3)).all()
    with pytest.raises(ValueError, match="noise=-1"):
        blurred(scores, -1, torch.Generator())


def test_the_best_come_first_and_no_more_than_there_are():
    assert best(torch.tensor([1.0, 3.0, 2.0]), 2) == [1, 2]
    with pytest.raises(ValueError, match="k=4"):
        best(torch.zeros(3), 4)


def test_coupling_is_the_pages_formula():
    with pytest.raises(ValueError, match="with_it=90: allowed are numbers from 0 to 1"):
        coupled(0.8, 90, 0.3)
    assert math.isclose(coupled(0.8, 0.9, 0.3), 0.78) and math.isclose(coupled(0.5, 0.9, 0.3), 0.6)


def test_the_best_passage_stands_next_to_the_question():
    lm = tiny_lm()
    text = prompt_with(lm, "Why?", ["best", "second"], "Because")
    assert text.index("second") < text.index("best") < text.index("Why?")
    assert text.endswith("Because") and "Documentation" not in prompt_with(lm, "Why?", [])


def test_completion_is_greedy_and_stops_when_told():
    lm = tiny_lm()
    tokens = lm.tokenizer.encode("abc")[None]
    expected = []
    with torch.no_grad():
        for _ in range(5):
            expected.append(int(lm.model(tokens)[0, -1].argmax()))
            tokens = torch.cat([tokens, torch.tensor([expected[-1:]])], 1)
    assert complete(lm, "abc", most=5) == lm.tokenizer.decode(expected)
    assert complete(lm, "abc", most=5, done=lambda text: True) == lm.tokenizer.decode(expected[:1])
    with pytest.raises(ValueError, match="most=0"):
        complete(lm, "abc", most=0)


def test_retriever_and_generator_together():
    texts = ["the cat sat", "a dog ran", "no cat ran"]
    answer = Answerer(texts, lexical(texts), tiny_lm(), k=1, most=3)
    said, found = answer("Where did the cat sit, which sat?")
    assert found == [0]
    prompt = prompt_with(answer.lm, "Where did the cat sit, which sat?", [texts[0]])
    assert said == complete(answer.lm, prompt, most=3)
