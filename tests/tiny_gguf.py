"""A tiny Llama as llama.cpp writes it: GGUF, matrices in Q4_1 if asked, Q and K in its order, a tokenizer.

The order of Q and K follows `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py, in NumPy.
"""

import hashlib
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from transformers.convert_slow_tokenizer import bytes_to_unicode

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN = 32, 2, 4, 2, 64
MERGES = ["h e", "Ġ Ġ"]


def vocabulary() -> list[str]:
    """Control tokens, the 256 bytes as GPT-2 writes them, and what the merges make."""
    return [*CONTROLS, *bytes_to_unicode().values(), *(pair.replace(" ", "") for pair in MERGES)]


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the names of `transformers`, in its order."""
    draw, head = np.random.default_rng(seed), WIDTH // HEADS
    shapes = {"model.embed_tokens": (len(vocabulary()), WIDTH), "model.norm": (WIDTH,)}
    for i in range(LAYERS):
        shapes |= {
            f"model.layers.{i}.{name}": shape
            for name, shape in {
                "input_layernorm": (WIDTH,),
                "self_attn.q_proj": (HEADS * head, WIDTH),
                "self_attn.k_proj": (KV_HEADS * head, WIDTH),
                "self_attn.v_proj": (KV_HEADS * head, WIDTH),
                "self_attn.o_proj": (WIDTH, HEADS * head),
                "post_attention_layernorm": (WIDTH,),
                "mlp.gate_proj": (HIDDEN, WIDTH),
                "mlp.up_proj": (HIDDEN, WIDTH),
                "mlp.down_proj": (WIDTH, HIDDEN),
            }.items()
        }
    return {
        f"{name}.weight": (0.3 * draw.standard_normal(shape) + len(shape) % 2).astype(np.float32)
        for name, shape in shapes.items()
    }


def permuted(matrix: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of Q and K."""
    halves = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:])
    return halves.swapaxes(1, 2).reshape(matrix.shape)


def llama_cpp_name(name: str) -> str:
    """llama.cpp's name, by the `gguf` package's own table."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    return names.get_name(name, try_suffixes=(".weight",))


def write(path: Path, *, seed: int = 0, kind: Kind = Kind.F32, **metadata: object) -> str:
    """Write the file; return its checksum. `metadata` adds keys or replaces them (None leaves one out)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    keys = {
        "llama.block_count": LAYERS,
        "llama.context_length": 96,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "tokenizer.ggml.eos_token_id": 2,
    } | metadata
    for key, value in keys.items():
        if value is not None:
            add = writer.add_string if isinstance(value, str) else writer.add_uint32
            add(key, value)
    writer.add_rope_freq_base(1000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary())
    writer.add_token_types([3] * len(CONTROLS) + [1] * (len(vocabulary()) - len(CONTROLS)))
    writer.add_token_merges(MERGES)
    writer.add_chat_template(TEMPLATE)
    for name, matrix in weights(seed).items():
        if "q_proj" in name or "k_proj" in name:
            matrix = permuted(matrix, HEADS if "q_proj" in name else KV_HEADS)
        own = kind if matrix.ndim == 2 and "embed" not in name else Kind.F32
        writer.add_tensor(llama_cpp_name(name), gguf.quantize(matrix, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()
