"""Lab 3, the ending: the student's own cache in every layer of a trained model.

SmolLM2-135M where its wheel is installed (`make assets`), else, and in the smoke
profile, the course's small byte model.

Symbols: b batch, t new tokens, s tokens held, g KV heads, k head width.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.course.live_model.kept import unrounded_model
from course_lib.generate.decode import cached_step, generate, recomputing_step
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.models.lm import CausalLM
from course_lib.models.real.assets import ModelMissing
from course_lib.models.real.load import load_real

PROMPT = "A cache keeps the keys and values of earlier tokens, so that a language model"
CODE = "import os\n\ndef read(path):\n    with open(path) as"


@dataclass(frozen=True)
class Trained:
    """A trained model, a prompt for it, and how its tokens are read."""

    name: str
    model: CausalLM
    prompt: Tensor
    text: Callable[[list[int]], str]

    @property
    def config(self) -> dict[str, int]:
        """The fields of a `config.json` that exercise 5 reads."""
        mixer = self.model.spec.layers[0].mixer
        return {
            "num_hidden_layers": len(self.model.spec.layers),
            "num_attention_heads": mixer.heads,
            "num_key_value_heads": mixer.kv_heads,
            "head_dim": mixer.head_dim,
            "hidden_size": self.model.spec.width,
        }


def trained() -> Trained:
    """SmolLM2, or the course's small model."""
    small = os.environ.get("COURSE_PROFILE") == "smoke"
    try:
        lm = None if small else load_real("smollm2-135m")
    except ModelMissing:
        lm = None
    if lm is None:
        prompt = torch.tensor([list(CODE.encode())])
        name = "the course's small byte model"
        text = lambda tokens: bytes(tokens).decode(errors="replace")  # noqa: E731
        return Trained(name, unrounded_model(), prompt, text)
    tokens = lm.tokenizer.encode(PROMPT)[None]
    return Trained(
        f"SmolLM2-135M, {lm.precision}", lm.model, tokens, lm.tokenizer.decode
    )


class OfStudent:
    """A student's cache of one layer, under the names that the library's layers call.

    The lab's caches are float64; what goes in and comes out has the model's dtype.
    """

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    @property
    def length(self) -> int:
        """Tokens held."""
        return self.cache.length

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors."""
        return self.cache.keys.nbytes + self.cache.values.nbytes

    def update(
        self, keys: Tensor, values: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Append, and return what is held with its positions."""
        held = self.cache.append(keys.double(), values.double())
        places = torch.arange(self.cache.length).expand(len(keys), -1)
        return held[0].to(keys.dtype), held[1].to(values.dtype), places


@dataclass(frozen=True)
class Run:
    """What was generated, how fast with the cache against without, and its bytes."""

    name: str
    text: str
    same: bool
    tokens: int
    speedup: float
    nbytes: int
    formula: int


def generated(cache_class: type, cache_bytes: Callable, new: int = 24) -> Run:
    """Generate `new` tokens greedily with the student's cache and without any.

    The bytes of the caches stand beside those of the student's formula, at 8 bytes a
    number.
    """
    found = trained()
    config, capacity = found.config, found.prompt.shape[1] + new
    sizes = 1, capacity, config["num_key_value_heads"], config["head_dim"]
    layers = range(config["num_hidden_layers"])
    cache = ModelCache([OfStudent(cache_class(*sizes)) for _ in layers])
    told, seconds = [], []
    for step in (cached_step(found.model, cache), recomputing_step(found.model)):
        start = time.perf_counter()
        told.append(generate(step, found.prompt, max_new_tokens=new)[0].tolist())
        seconds.append(time.perf_counter() - start)
    formula = cache_bytes(config, batch=1, tokens=capacity, bytes_per_element=8)
    text = found.text(found.prompt[0].tolist() + told[0])
    return Run(
        found.name,
        text,
        told[0] == told[1],
        new,
        seconds[1] / seconds[0],
        cache.nbytes,
        formula,
    )
