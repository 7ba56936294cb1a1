"""Tokenizers and chat templates of published models, as they were published.

The tokenizer of SmolLM2 is byte-level BPE: text is cut into words, the words into
bytes, and learned merges join them. Where it is cut is a part of the tokenizer. The
GGUF file names the custom, `smollm`: every digit is a piece of its own, and then
GPT-2's cuts.

Terms:
    pre-tokenization, pre-tokenizer: where text is cut before merges are applied ->
        tokenizer_from_gguf
    published tokenizer: the tokens that a trained model was trained on -> RealTokenizer
    Jinja chat template, apply_chat_template: a conversation as the text that a model
        was trained on -> render_template, RealTokenizer
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from jaxtyping import Int
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from torch import Tensor

CONTROL, USER_DEFINED = 3, 4
"""Kinds of token in GGUF that text is searched for before it is cut."""
Turn = Mapping[str, str]
"""One turn of a chat: its `role` ("system", "user", "assistant") and its `content`."""


class RealTokenizer:
    """Text to the tokens that a published model was trained on, and back.

    Args:
        engine: of the `tokenizers` package.
        end: the name of the token that ends a turn; None where the model writes none.
        chat_template: Jinja, as published; None where the model does not chat.
    """

    def __init__(
        self,
        engine: tokenizers.Tokenizer,
        *,
        end: str | None = None,
        chat_template: str | None = None,
    ) -> None:
        self.engine = engine
        self.chat_template = chat_template
        self.end = None if end is None else engine.token_to_id(end)

    @property
    def vocab(self) -> int:
        """Number of tokens."""
        return self.engine.get_vocab_size()

    def encode(self, text: str, *, controls: bool = True) -> Int[Tensor, "n"]:
        """Turn text into tokens, int64 [n].

        Args:
            text: any.
            controls: whether text that spells a control token, `<|im_end|>` say, is
                that token, as in `transformers`. Without, it is plain text: what a user
                typed cannot end a turn.
        """
        self.engine.encode_special_tokens = not controls
        return torch.tensor(self.engine.encode(text).ids, dtype=torch.int64)

    def decode(
        self, tokens: Int[Tensor, "n"] | Sequence[int], *, controls: bool = False
    ) -> str:
        """Turn tokens into text; broken UTF-8 becomes U+FFFD. Control tokens are shown
        only with `controls`.
        """
        numbers = [int(token) for token in tokens]
        return self.engine.decode(numbers, skip_special_tokens=not controls)

    def pieces(self, tokens: Int[Tensor, "n"] | Sequence[int]) -> list[str]:
        """The text of each token by itself, for a reader."""
        return [self.decode([int(token)], controls=True) for token in tokens]

    def chat_text(self, turns: Sequence[Turn], *, open_turn: bool = True) -> str:
        """A conversation as the one text that the model was trained on.

        Args:
            turns: in order. Without a system turn first, SmolLM2's template puts one of
                its own there.
            open_turn: end with the opening of an assistant's turn, so that the model
                goes on with it.

        Raises:
            ValueError: the model has no chat template.
        """
        if self.chat_template is None:
            raise ValueError("chat_template is None: this model does not chat")
        return render_template(
            self.chat_template, messages=turns, add_generation_prompt=open_turn
        )

    def chat(
        self, turns: Sequence[Turn], *, open_turn: bool = True
    ) -> Int[Tensor, "n"]:
        """The tokens of `chat_text`. A turn's text that spells a control token becomes
        it, as in `transformers`.
        """
        return self.encode(self.chat_text(turns, open_turn=open_turn))


def render_template(template: str, **values: Any) -> str:
    """What a chat template makes of the values.

    Templates come from files, so they run in Jinja's sandbox; blocks are trimmed as in
    `transformers`.

    >>> render_template("{% for m in turns %}\\n[{{ m.role }}]{% endfor %}",
    ...                 turns=[{"role": "user"}])
    '[user]'
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    return environment.from_string(template).render(**values)


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> RealTokenizer:
    """The tokenizer that a GGUF file describes.

    Raises:
        ValueError: it is of a kind, or cuts text by a custom, that is not built here.

    *Differs from source*: `transformers` 5.23 builds GPT-2's cuts from any GGUF file
        and leaves the digits together, so it reads "a  2" (two spaces) as other tokens
        than SmolLM2 was trained on.
    *Source*: llama.cpp, `llama-vocab.cpp`, LLAMA_VOCAB_PRE_TYPE_SMOLLM.
    """
    of = {key: metadata.get(f"tokenizer.ggml.{key}") for key in ("model", "pre")}
    if of != {"model": "gpt2", "pre": "smollm"}:
        raise ValueError(
            f"tokenizer={of['model']!r} with cuts {of['pre']!r}: supported are 'gpt2' "
            "with 'smollm'"
        )
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    engine = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    named = [
        AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, kind in zip(tokens, kinds, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]
    engine.add_tokens([token for token in named if not token.special])
    engine.add_special_tokens([token for token in named if token.special])
    return RealTokenizer(
        engine,
        end=tokens[metadata["tokenizer.ggml.eos_token_id"]],
        chat_template=metadata.get("tokenizer.chat_template"),
    )


def tokenizer_from_file(path: str | Path, **options: Any) -> RealTokenizer:
    """The tokenizer of a `tokenizer.json`; `options` as `RealTokenizer` takes them."""
    return RealTokenizer(tokenizers.Tokenizer.from_file(str(path)), **options)
