"""Labels with real models: a head on MiniLM's vectors, the same head on SmolLM2's, and
SmolLM2 asked for the label in a prompt, with no example or four a class.

The task is `tasks.intents`: which of twelve packages does a docstring's summary come
from? Baselines: the most frequent class, and a head on which words occur. No model is
trained but the heads, by logistic regression. Examples are drawn anew by each of `DRAWS`
seeds; every system that learns or reads examples gets the same ones.
"""

import random
from collections.abc import Mapping, Sequence

import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from course_lib.evaluate.lm_scoring import first_token_scores
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.intents import Intents, intents

DRAWS, A_CLASS, CLASSES = 5, 4, 12


def zero_shot(names: Sequence[str]) -> str:
    """The prompt that names the classes."""
    return (
        "Each sentence documents one of these Python packages: "
        + ", ".join(names)
        + ".\n\n"
    )


def question(text: str, answer: str = "") -> str:
    """One sentence as the prompt asks about it, and perhaps answers."""
    return f"Sentence: {text}\nPackage:" + (f" {answer}\n\n" if answer else "")


def drawn(task: Intents, seed: int) -> list[int]:
    """`A_CLASS` training utterances of each class, in a random order."""
    chosen, dice = [], random.Random(seed)
    for intent in range(len(task.names)):
        mine = [i for i, u in enumerate(task.train) if u.intent == intent]
        chosen += dice.sample(mine, A_CLASS)
    dice.shuffle(chosen)
    return chosen


@torch.no_grad()
def decoder_vectors(lm: RealLM, texts: Sequence[str]) -> Tensor:
    """The mean of the last layer's vectors over a text's tokens, length 1."""
    caught, found = [], []
    hook = lm.model.final_norm.register_forward_hook(lambda m, x, y: caught.append(y))
    for text in texts:
        caught.clear()
        lm.model(lm.tokenizer.encode(text, controls=False)[None], last_only=False)
        found.append(caught[0][0].mean(0))
    hook.remove()
    return torch.nn.functional.normalize(torch.stack(found), dim=-1)


def fitted(train, labels: Sequence[int], test) -> list[int]:
    """What a logistic regression says of each test row."""
    head = LogisticRegression(C=10.0, max_iter=2000).fit(train, labels)
    return head.predict(test).tolist()


def measure() -> Mapping:
    """The label that each system gives each test utterance."""
    torch.set_num_threads(1)
    task = intents(CLASSES)
    texts = {
        part: [u.text for u in getattr(task, part)] for part in ("train", "test")
    }
    labels = [u.intent for u in task.train]
    lm, encoder = load_real("smollm2-135m"), load_real("minilm-l6")
    words = CountVectorizer(binary=True).fit(texts["train"])
    features = {
        "words, head": {p: words.transform(t).toarray() for p, t in texts.items()},
        "MiniLM, head": {p: encoder.embed(t).numpy() for p, t in texts.items()},
        "SmolLM2, head": {p: decoder_vectors(lm, t).numpy() for p, t in texts.items()},
    }
    answers = {"0": {}, str(A_CLASS): {}, "all": {}}
    for name, x in features.items():
        answers["all"][name] = [fitted(x["train"], labels, x["test"])]
        answers[str(A_CLASS)][name] = [
            fitted(x["train"][rows], [labels[i] for i in rows], x["test"])
            for rows in (drawn(task, seed) for seed in range(DRAWS))
        ]
    asked = [question(text) for text in texts["test"]]
    plain = first_token_scores(lm, zero_shot(task.names), asked, task.names)
    answers["0"]["SmolLM2, asked"] = [plain.argmax(1).tolist()]
    shown = []
    for seed in range(DRAWS):
        examples = "".join(
            question(texts["train"][i], task.names[labels[i]])
            for i in drawn(task, seed)
        )
        prompt = zero_shot(task.names) + examples
        scores = first_token_scores(lm, prompt, asked, task.names)
        shown.append(scores.argmax(1).tolist())
    answers[str(A_CLASS)]["SmolLM2, asked"] = shown
    return {
        "names": list(task.names),
        "train": len(labels),
        "right": [u.intent for u in task.test],
        "majority_share": task.majority_share,
        "answers": answers,
        "first": {  # a notebook repeats these, whatever Python it runs on
            "texts": texts["test"][:16],
            "scores": [[round(v, 4) for v in row] for row in plain[:16].tolist()],
        },
        "precision": {"smollm2-135m": lm.precision, "minilm-l6": encoder.precision},
    }
