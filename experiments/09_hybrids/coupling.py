"""How good are SmolLM2's answers when its retriever gets worse?

Nothing is trained. The documents are documented default values of the parameters of
torch, scipy and networkx (`tasks.defaults`); the questions ask for them, and the answer
is checked against the signature. SmolLM2-135M reads k passages, the best one last,
and writes its answer greedily. The prompt was chosen on thirty questions that are not
among these.

For each question the prompts of all conditions are made, and each different one is
answered once:

    closed              no passage
    right               its own passage alone
    right, near         its own passage best, the best-ranked wrong one second
    near, right         the other way round
    wrong, near         the two wrong passages that BM25 ranks highest
    wrong, far          two passages drawn at random
    noise X             BM25's first two, after noise of X spreads on its scores
    MiniLM              its first two
    one                 BM25's first alone
    answer key          an index without the right passages, to which the list of test
                        questions with their answers was added

Finished questions are kept in `COURSE_RUNS`, so an interrupted measurement goes on.
"""

import json
import random
import re
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from course_lib.generate.retrieval import (
    best,
    blurred,
    complete,
    dense,
    lexical,
    prompt_with,
)
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.defaults import (
    Fact,
    documented_defaults,
    says,
    spread_questions,
)
from course_lib.train.experiment import Measurement
from course_lib.train.recording import runs_folder

QUESTIONS, SAME_ANSWER, SEED, K, MOST = 60, 4, 0, 2, 10
TRIED = 30  # questions on which the prompt was chosen
NOISES = (0.0, 1.0, 2.0, 4.0)
KEPT = 3  # questions whose prompts are recorded: a notebook asks them again


def ended(text: str) -> bool:
    """Whether a number was written and something else after it."""
    return re.search(r"\d[^\d.e+-]|\d\.\s|\n", text) is not None


def entry(fact: Fact) -> str:
    """A line of the list of questions and answers."""
    return f"{fact.question} {fact.answer}"


def asked_of(lm: RealLM, fact: Fact, passages: Sequence[str]) -> dict:
    """Prompt and answer, whether it is right, tokens of the prompt, CPU seconds."""
    start = time.process_time()
    opening = f"The default value of {fact.parameter} is"
    prompt = prompt_with(lm, fact.question, passages, opening)
    said = complete(lm, prompt, most=MOST, done=ended)
    return {
        "prompt": prompt,
        "said": said,
        "right": says(said, fact.answer),
        "tokens": len(lm.tokenizer.encode(prompt)),
        "cpu_s": round(time.process_time() - start, 3),
    }


def conditions(
    number: int, own: int, first: Mapping[str, Tensor], far: Sequence[int]
) -> dict[str, list[int]]:
    """Which passages, best first, each condition shows for a question."""
    ranked = [i for i in best(first["noise 0"][number], K + 1) if i != own]
    found = {name: best(scores[number], K) for name, scores in first.items()}
    return found | {
        "closed": [],
        "right": [own],
        "right, near": [own, ranked[0]],
        "near, right": [ranked[0], own],
        "wrong, near": ranked[:K],
        "wrong, far": list(far),
        "one": found["noise 0"][:1],
    }


def scores_of(texts: Sequence[str], questions: Sequence[str]) -> dict[str, Tensor]:
    """The scores of every retriever, by condition."""
    plain = lexical(texts)(questions)
    found = {"MiniLM": dense(texts, load_real("minilm-l6"))(questions)}
    for noise in NOISES:
        drawn = torch.Generator().manual_seed(SEED)
        found[f"noise {noise:g}"] = blurred(plain, noise, drawn)
    return found


def one_question(lm: RealLM, facts, own: int, shown: Mapping, leak: str) -> dict:
    """All conditions of one question, equal prompts answered once."""
    fact, row, answers = facts[own], {}, {}
    for name, passages in shown.items():
        key = tuple(passages)
        if key not in answers:
            texts = [facts[i].passage for i in passages]
            answers[key] = asked_of(lm, fact, texts)
        row[name] = answers[key] | {"found": own in passages}
    row["answer key"] = asked_of(
        lm, fact, [leak, facts[shown["wrong, near"][0]].passage]
    ) | {"found": False}
    return row


def measure() -> Mapping:
    """Every question under every condition."""
    facts = documented_defaults()
    rng = random.Random(SEED)
    tried = set(spread_questions(facts, TRIED, most=3, rng=random.Random(5)))
    drawn = spread_questions(facts, QUESTIONS + TRIED // 2, most=SAME_ANSWER, rng=rng)
    asked = [i for i in drawn if i not in tried][:QUESTIONS]
    far = [rng.sample([i for i in range(len(facts)) if i != own], K) for own in asked]
    texts = [fact.passage for fact in facts]
    questions = [facts[own].question for own in asked]
    first = scores_of(texts, questions)
    key = [entry(facts[own]) for own in asked]
    in_key = lexical([*texts, *key])(questions)
    in_key[:, asked] = -torch.inf  # the documentation itself is not in this index
    lm = load_real("smollm2-135m")
    rows = runs_folder() / "coupling.rows.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in rows.open()] if rows.exists() else []
    for number in range(len(done), QUESTIONS):
        own = asked[number]
        shown = conditions(number, own, first, far[number])
        leak = [*texts, *key][best(in_key[number], 1)[0]]
        row = one_question(lm, facts, own, shown, leak)
        if number >= KEPT:
            row = {name: _short(each) for name, each in row.items()}
        fact = facts[own]
        head = {"question": fact.question, "answer": fact.answer}
        done.append(head | {"leak_found": leak == key[number], "conditions": row})
        with rows.open("a") as out:
            out.write(json.dumps(done[-1]) + "\n")
        print(f"question {number + 1} of {QUESTIONS}", flush=True)
    return {
        "documents": len(texts),
        "k": K,
        "precision": lm.precision,
        "questions": done[:QUESTIONS],
    }


def _short(each: Mapping) -> dict:
    """Without the prompt, which can be made again."""
    return {name: value for name, value in each.items() if name != "prompt"}


experiment = Measurement(
    asks="How good are a generator's answers when its retriever gets worse?",
    measure=measure,
)
