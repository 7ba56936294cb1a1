"""A small Llama, of the size that a notebook trains on a CPU in seconds.

Every notebook that needs one names what it is about and leaves the rest.
"""

from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.records.model import ModelSpec


def small_llama(
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    *,
    kv_heads: int | None = None,
    ffn: int | None = None,
    vocab: int = 256,
    tied: bool = True,
    **fields: object,
) -> ModelSpec:
    """Return the spec of a decoder with Llama's parts: RMSNorm before each sublayer,
    RoPE, SwiGLU, no biases.

    Args:
        width: of the residual stream.
        layers: number of blocks.
        heads: query heads a block; width / heads is the size of each.
        kv_heads: key/value heads; None takes `heads` (MHA).
        ffn: inner width of SwiGLU; None takes twice the width.
        vocab: tokens; 256 is one a byte.
        tied: whether the output matrix is the word table.
        fields: more of Hugging Face's `config.json`, such as `rope_theta=100.0`; they
            come last, so `model_type="mixtral"` makes another family of it.
    Raises:
        ValueError: from `spec_from_hf_config`, naming the field.

    >>> spec = small_llama(heads=8, kv_heads=2)
    >>> spec.width, len(spec.layers), spec.layers[0].mixer.kv_heads
    (64, 2, 2)
    """
    config = {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads if kv_heads is None else kv_heads,
        "intermediate_size": 2 * width if ffn is None else ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
    }
    return spec_from_hf_config(config | fields)
