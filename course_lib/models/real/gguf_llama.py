"""A Llama in GGUF, llama.cpp's file format, as the names and the order of
`transformers`.

Symbols: h heads, k head width, d model width.

A GGUF file holds metadata (sizes, tokenizer, chat template) and tensors, most of them
in blocks of 32 numbers of a few bits with a scale each. Q4_1 keeps q in 0..15 and two
16-bit numbers a block, and means s q + m: 5 bits a number. *Dequantised*, the numbers
are float32 and the rounding stays in them.

**The rows of Q and K lie in another order.** RoPE turns pairs of a head's elements, and
there are two customs of which elements make a pair:

    rotate_half   (i, i + k/2)     Hugging Face, GPT-NeoX: halves
    interleaved   (2i, 2i + 1)     Meta's LLaMA, llama.cpp: neighbours

Which custom is used does not matter, as long as Q and K were trained in the one they
are run in: scores are sums over pairs, in any order. So a converter may change custom
by moving rows, and llama.cpp's does: in its files pair i of a head is in rows 2i and
2i + 1. Read in that order by a model that pairs halves, the weights are all there, the
shapes fit, nothing is refused, and the model talks nonsense: perplexity 4,419 in place
of 44 in llama.cpp's own pull request 22611. `rows_by_halves` moves them back.

Source: the GGUF specification of ggml-org/ggml; `LlamaModel.permute` of llama.cpp's
`convert_hf_to_gguf.py`; the two customs, ggml-org/llama.cpp#7481; the accident,
https://github.com/ggml-org/llama.cpp/pull/22611.

Terms:
    GGUF: llama.cpp's file format, metadata and quantised tensors in one file ->
        LlamaFile
    Q4_1, block quantisation, dequantisation: 32 weights of 4 bits with a scale and a
        least value, and back to float32 -> LlamaFile
    permuted Q and K: rows moved from one RoPE pairing to the other -> rows_by_halves
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from jaxtyping import Float
from torch import Tensor

NAMES: Mapping[str, str] = {
    "token_embd": "model.embed_tokens",
    "blk.{i}.attn_norm": "model.layers.{i}.input_layernorm",
    "blk.{i}.attn_q": "model.layers.{i}.self_attn.q_proj",
    "blk.{i}.attn_k": "model.layers.{i}.self_attn.k_proj",
    "blk.{i}.attn_v": "model.layers.{i}.self_attn.v_proj",
    "blk.{i}.attn_output": "model.layers.{i}.self_attn.o_proj",
    "blk.{i}.ffn_norm": "model.layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_gate": "model.layers.{i}.mlp.gate_proj",
    "blk.{i}.ffn_up": "model.layers.{i}.mlp.up_proj",
    "blk.{i}.ffn_down": "model.layers.{i}.mlp.down_proj",
    "output_norm": "model.norm",
    "output": "lm_head",
}
"""llama.cpp's names, and those of `transformers`; `{i}` is the layer's number."""


class LlamaFile:
    """A GGUF file of the Llama architecture.

    Args:
        path: of the file.

    Attributes:
        metadata: what the file says, by its own keys.

    Raises:
        ValueError: it is no GGUF file, or of another architecture, or stretches RoPE.

    *Cost*: a few seconds: the package reads each token of the vocabulary by itself.
    """

    def __init__(self, path: str | Path) -> None:
        self._reader = GGUFReader(path)
        self.metadata: dict[str, Any] = {
            key: field.contents() for key, field in self._reader.fields.items()
        }
        architecture = self.metadata.get("general.architecture")
        if architecture != "llama":
            raise ValueError(f"architecture={architecture!r}: supported is 'llama'")
        stretched = [key for key in self.metadata if key.startswith("llama.rope.scal")]
        if stretched:
            raise ValueError(f"{', '.join(stretched)}: supported is RoPE as trained")

    def config(self) -> dict[str, Any]:
        """The fields of the model's `config.json`, from the metadata."""
        heads = self._of_llama("attention.head_count")
        return {
            "model_type": "llama",
            "hidden_size": self._of_llama("embedding_length"),
            "num_hidden_layers": self._of_llama("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self._of_llama("attention.head_count_kv", heads),
            "intermediate_size": self._of_llama("feed_forward_length"),
            "vocab_size": len(self.metadata["tokenizer.ggml.tokens"]),
            "max_position_embeddings": self._of_llama("context_length"),
            "rms_norm_eps": as_written(
                self._of_llama("attention.layer_norm_rms_epsilon")
            ),
            "rope_theta": as_written(self._of_llama("rope.freq_base", 10_000.0)),
            "hidden_act": "silu",
            "tie_word_embeddings": "output.weight" not in self._kinds(),
        }

    def tensors(self) -> Iterator[tuple[str, Float[Tensor, "..."]]]:
        """Every tensor under the name that `transformers` gives it, float32, Q and K in
        its order.

        Raises:
            ValueError: a tensor has a name that a Llama does not have.
        """
        config = self.config()
        heads = {
            "attn_q": config["num_attention_heads"],
            "attn_k": config["num_key_value_heads"],
        }
        for tensor in self._reader.tensors:
            numbers = dequantize(tensor.data, tensor.tensor_type)
            weight = torch.tensor(numbers, dtype=torch.float32)
            of = tensor.name.split(".")[-2]
            if of in heads:
                weight = rows_by_halves(weight, heads[of])
            yield their_name(tensor.name), weight

    def _kinds(self) -> dict[str, str]:
        """How each tensor is stored, by llama.cpp's names."""
        return {each.name: each.tensor_type.name for each in self._reader.tensors}

    def _of_llama(self, key: str, default: Any = None) -> Any:
        value = self.metadata.get(f"llama.{key}", default)
        if value is None:
            raise ValueError(f"metadata has no llama.{key}")
        return value


def their_name(name: str) -> str:
    """The name that `transformers` gives a tensor of llama.cpp.

    Raises:
        ValueError: no tensor of a Llama has that name.

    >>> their_name("blk.12.attn_q.weight")
    'model.layers.12.self_attn.q_proj.weight'
    """
    stem, _, suffix = name.rpartition(".")
    pattern = re.sub(r"^blk\.\d+\.", "blk.{i}.", stem)
    if pattern not in NAMES:
        raise ValueError(f"{name}: no such tensor is known in a Llama")
    layer = stem.split(".")[1] if pattern != stem else ""
    return f"{NAMES[pattern].replace('{i}', layer)}.{suffix}"


def rows_by_halves(
    weight: Float[Tensor, "hk *rest"], heads: int
) -> Float[Tensor, "hk *rest"]:
    """Rows of Q or K from pairs of neighbours to pairs of halves, head by head: row 2i
    goes to i, row 2i + 1 to i + k/2.

    >>> rows_by_halves(torch.arange(12.0), heads=2).tolist()  # two heads of six rows
    [0.0, 2.0, 4.0, 1.0, 3.0, 5.0, 6.0, 8.0, 10.0, 7.0, 9.0, 11.0]
    """
    by_pair = weight.unflatten(0, (heads, -1, 2))  # head, pair, member of the pair
    return by_pair.transpose(1, 2).flatten(0, 2).contiguous()


def as_written(number: float) -> float:
    """The shortest decimal number with the same float32: what somebody wrote before it
    was stored.

    >>> as_written(9.999999747378752e-06)
    1e-05
    """
    return float(str(np.float32(number)))
