"""Trained models of other people on this library's layers: a small chat model and a
sentence encoder.

    smollm2-135m   SmolLM2-135M-Instruct of HuggingFaceTB, from a GGUF file in Q4_1:
                   every figure measured on it is one of the 4-bit model, dequantised
                   (its word table has 8 bits)
    minilm-l6      all-MiniLM-L6-v2 of sentence-transformers, float32

Terms:
    SmolLM2, small language model: a trained chat model of 135 million parameters ->
        load_real, RealLM
    sentence encoder, sentence embedding, MiniLM: one vector a text -> SentenceEncoder
    mean pooling: the mean of the last layer's vectors over a text's own tokens ->
        SentenceEncoder
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.build import build_model
from course_lib.models.checkpoints.files import load_checkpoint
from course_lib.models.encoder import Encoder
from course_lib.models.lm import CausalLM
from course_lib.models.real.assets import asset, checked_folder
from course_lib.models.real.convert import (
    RECORD,
    TEMPLATE,
    TOKENIZER,
    converted_folder,
)
from course_lib.models.real.text import RealTokenizer, tokenizer_from_file
from course_lib.specs.records import ModelSpec


@dataclass(frozen=True)
class RealLM:
    """A trained language model.

    Attributes:
        name: as `load_real` takes it.
        model: a `CausalLM` in evaluation mode.
        tokenizer: with its chat template; `tokenizer.end` ends a turn.
        precision: what its weights went through, to be said beside every figure.
    """

    name: str
    model: CausalLM
    tokenizer: RealTokenizer
    precision: str


@dataclass(frozen=True)
class SentenceEncoder:
    """A trained encoder that gives one vector a text.

    Attributes:
        name: as `load_real` takes it.
        model: an `Encoder` in evaluation mode.
        tokenizer: cuts texts at `most_tokens`.
        precision: of its weights.
    """

    name: str
    model: Encoder
    tokenizer: RealTokenizer
    precision: str
    most_tokens: int

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch: int = 32) -> Float[Tensor, "n d"]:
        """One vector a text, of length 1, so that a dot product is the cosine.

        *Equation*: v = m / |m|, m the mean of the last layer's vectors over the text's
            own tokens, padding left out.

        Args:
            texts: at least one; what is longer than `most_tokens` is cut.
            batch: how many run at once; short ones first, so that little is padding.

        Raises:
            ValueError: `texts` is empty, or `batch` below 1.

        *Source*: Reimers and Gurevych 2019, section 3, arXiv:1908.10084 (mean pooling);
            the model's `modules.json` (then normalised).
        """
        if not texts or batch < 1:
            raise ValueError(
                f"texts of length {len(texts)}, batch={batch}: allowed are 1 and more"
            )
        found = self.tokenizer.engine.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(found[i].ids))
        vectors = [
            self._pooled([found[i].ids for i in order[first : first + batch]])
            for first in range(0, len(texts), batch)
        ]
        back = torch.empty(len(texts), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(texts))
        return torch.cat(vectors)[back]

    def _pooled(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "b d"]:
        device = next(self.model.parameters()).device
        longest = max(map(len, rows))
        real = torch.tensor([[i < len(row) for i in range(longest)] for row in rows])
        tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        real, tokens = real.to(device), tokens.to(device)
        states = self.model(tokens, positions_from_padding(real))
        weights = real[..., None].to(states.dtype)
        means = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return nn.functional.normalize(means, dim=-1)


@overload
def load_real(
    name: Literal["smollm2-135m"], *, dtype: torch.dtype = torch.float32
) -> RealLM: ...
@overload
def load_real(
    name: Literal["minilm-l6"], *, dtype: torch.dtype = torch.float32
) -> SentenceEncoder: ...
def load_real(
    name: str, *, dtype: torch.dtype = torch.float32
) -> RealLM | SentenceEncoder:
    """A trained model by its name, on the CPU.

    Args:
        name: "smollm2-135m" (`RealLM`) or "minilm-l6" (`SentenceEncoder`).
        dtype: of the parameters.

    Raises:
        ValueError: no model has that name, or its file is another than the pinned one.
        ModelMissing: it is not on this machine; the message says what to run.

    *Cost*: SmolLM2 the first time about 8 s (its file is converted), then 2 s; MiniLM
        1 s. In float32 538 MB and 91 MB.
    """
    wanted = asset(name)
    if name == "minilm-l6":
        folder = checked_folder(wanted)
        return _sentence_encoder(name, folder, dtype)
    folder = converted_folder(wanted)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    template = (folder / TEMPLATE).read_text(encoding="utf-8")
    return RealLM(
        name=name,
        model=load_checkpoint(folder, dtype=dtype, build=build_empty),
        tokenizer=tokenizer_from_file(
            folder / TOKENIZER, end=record["end"], chat_template=template or None
        ),
        precision="Q4_1 (4 bits, word table 8), dequantised",
    )


def build_empty(spec: ModelSpec) -> nn.Module:
    """As `build_model`, with memory that holds nothing yet: for weights that are all
    about to be loaded, which `load_hf_weights` makes sure of.

    *Cost*: drawing 135 million random weights would take seconds.
    """
    with torch.device("meta"):
        model = build_model(spec)
    model = model.to_empty(device="cpu")
    if spec.embeddings.tied:  # `to_empty` gave each its own memory
        model.head.weight = model.embed.tokens.weight
    return model


def _sentence_encoder(name: str, folder: Path, dtype: torch.dtype) -> SentenceEncoder:
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    tokenizer = tokenizer_from_file(folder / TOKENIZER)
    most = settings["max_seq_length"]
    tokenizer.engine.no_padding()
    tokenizer.engine.enable_truncation(most)
    model = load_checkpoint(folder, dtype=dtype, build=build_empty)
    return SentenceEncoder(name, model, tokenizer, "float32", most)
