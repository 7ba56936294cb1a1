"""Labels with real models: a head on MiniLM's vectors, the same head on SmolLM2's, and
SmolLM2 asked for the label in a prompt, with no example or four a class.

The task is `tasks.intents`: which of twelve packages does a docstring's summary come
from? Baselines: the most frequent class, and a head on which words occur. No model is
trained but the heads, by logistic regression. Examples are drawn anew by each of
`DRAWS` seeds; every system that learns or reads examples gets the same ones.
"""

import random
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.lm_scoring import first_token_scores
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.bm25 import words
from course_lib.tasks.intents import Intents, intents
from course_lib.train.batches import pad_rows
from course_lib.train.experiment import Measurement

DRAWS, A_CLASS, CLASSES = 3, 4, 12


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
    """The last layer's vector of each text's last token, length 1."""
    caught = []
    hook = lm.model.final_norm.register_forward_hook(lambda m, x, y: caught.append(y))
    for start in range(0, len(texts), 32):
        rows = [
            lm.tokenizer.encode(text, controls=False)
            for text in texts[start : start + 32]
        ]
        tokens = pad_rows(rows, value=-1, side="left")
        places = positions_from_padding(tokens >= 0)
        lm.model(tokens.clamp(min=0), places, last_only=True)
    hook.remove()
    return F.normalize(torch.cat(caught)[:, 0], dim=-1)


def bags(texts: Sequence[str], vocabulary: Mapping[str, int]) -> Tensor:
    """Which words occur in each text, length 1."""
    found = torch.zeros(len(texts), len(vocabulary))
    for row, text in zip(found, texts, strict=True):
        row[[vocabulary[word] for word in words(text) if word in vocabulary]] = 1
    return F.normalize(found, dim=-1)


def fitted(train: Tensor, labels: Sequence[int], test: Tensor) -> list[int]:
    """What a logistic regression says of each test row: L-BFGS, weight decay
    1 / (20 n) on vectors of length 1.
    """
    weight = torch.zeros(CLASSES, train.shape[1] + 1, requires_grad=True)
    train, test = (F.pad(x, (0, 1), value=1.0) for x in (train, test))
    targets = torch.tensor(labels)
    solver = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        decay = weight[:, :-1].square().sum() / (20 * len(train))
        loss = F.cross_entropy(train @ weight.T, targets) + decay
        loss.backward()
        return loss

    solver.step(closure)
    return (test @ weight.detach().T).argmax(1).tolist()


def measure() -> Mapping:
    """The label that each system gives each test utterance."""
    torch.set_num_threads(1)
    task = intents(CLASSES)
    texts = {part: [u.text for u in getattr(task, part)] for part in ("train", "test")}
    labels = [u.intent for u in task.train]
    lm, encoder = load_real("smollm2-135m"), load_real("minilm-l6")
    known = sorted({word for text in texts["train"] for word in words(text)})
    vocabulary = {word: i for i, word in enumerate(known)}
    features = {
        "words, head": {p: bags(t, vocabulary) for p, t in texts.items()},
        "MiniLM, head": {p: encoder.embed(t) for p, t in texts.items()},
        "SmolLM2, head": {p: decoder_vectors(lm, t) for p, t in texts.items()},
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


experiment = Measurement(
    asks="What does a label cost in examples: a head on vectors, or a prompt?",
    measure=measure,
)
