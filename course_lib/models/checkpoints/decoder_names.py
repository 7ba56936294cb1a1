"""Tensor names of decoder checkpoints, theirs beside ours, for each family of
`transformers`.

A row pairs a module of theirs with the module of ours that has the same parameters.
`{i}` is a layer's number. Several modules of ours in one of theirs stand in braces, and
a third entry names their packing (`qkv_packing`). A fourth says for which kind of layer
a row holds (`layer_kinds`). Rows that a model has no parameters for are passed over, so
a table serves all members of a family.

Terms:
    tensor names of decoders: which module of a Hugging Face decoder holds which of ours
        -> TABLES
"""

from collections.abc import Mapping

# theirs, ours, how ours lie in theirs, and in which kind of layer
Row = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, str]
Table = tuple[Row, ...]

ENDS: Table = (
    ("model.embed_tokens", "embed.tokens"),
    ("model.norm", "final_norm"),
    ("lm_head", "head"),
)
ATTENTION: Table = (
    ("model.layers.{i}.self_attn.q_proj", "blocks.{i}.mixer.wq"),
    ("model.layers.{i}.self_attn.k_proj", "blocks.{i}.mixer.wk"),
    ("model.layers.{i}.self_attn.v_proj", "blocks.{i}.mixer.wv"),
    ("model.layers.{i}.self_attn.o_proj", "blocks.{i}.mixer.wo"),
    ("model.layers.{i}.self_attn.q_norm", "blocks.{i}.mixer.q_norm"),
    ("model.layers.{i}.self_attn.k_norm", "blocks.{i}.mixer.k_norm"),
    ("model.layers.{i}.self_attn.sinks", "blocks.{i}.mixer.sinks"),
)
LATENT_ATTENTION: Table = (
    ("model.layers.{i}.self_attn.q_a_proj", "blocks.{i}.mixer.wq_down"),
    ("model.layers.{i}.self_attn.q_a_layernorm", "blocks.{i}.mixer.q_norm"),
    ("model.layers.{i}.self_attn.q_b_proj", "blocks.{i}.mixer.wq_up"),
    ("model.layers.{i}.self_attn.q_proj", "blocks.{i}.mixer.wq"),
    ("model.layers.{i}.self_attn.kv_a_proj_with_mqa", "blocks.{i}.mixer.wkv_down"),
    ("model.layers.{i}.self_attn.kv_a_layernorm", "blocks.{i}.mixer.kv_norm"),
    ("model.layers.{i}.self_attn.kv_b_proj", "blocks.{i}.mixer.wkv_up"),
    ("model.layers.{i}.self_attn.o_proj", "blocks.{i}.mixer.wo"),
)
INDEXER: Table = (
    ("model.layers.{i}.self_attn.indexer.wq_b", "blocks.{i}.mixer.indexer.wq"),
    ("model.layers.{i}.self_attn.indexer.wk", "blocks.{i}.mixer.indexer.wk"),
    ("model.layers.{i}.self_attn.indexer.k_norm", "blocks.{i}.mixer.indexer.k_norm"),
    (
        "model.layers.{i}.self_attn.indexer.weights_proj",
        "blocks.{i}.mixer.indexer.head_weights",
    ),
)
GATED: Table = (
    ("model.layers.{i}.mlp.gate_proj", "blocks.{i}.ffn.gate"),
    ("model.layers.{i}.mlp.up_proj", "blocks.{i}.ffn.up"),
    ("model.layers.{i}.mlp.down_proj", "blocks.{i}.ffn.down"),
)
GATED_IN_ONE: Table = (
    ("model.layers.{i}.mlp.gate_up_proj", "blocks.{i}.ffn.{gate,up}", "stacked"),
    ("model.layers.{i}.mlp.down_proj", "blocks.{i}.ffn.down"),
)
TWO_NORMS: Table = (
    ("model.layers.{i}.input_layernorm", "blocks.{i}.mixer_norm"),
    ("model.layers.{i}.post_attention_layernorm", "blocks.{i}.ffn_norm"),
)
GEMMA_NORMS: Table = (
    ("model.layers.{i}.input_layernorm", "blocks.{i}.mixer_norm"),
    ("model.layers.{i}.post_attention_layernorm", "blocks.{i}.mixer_post_norm"),
    ("model.layers.{i}.pre_feedforward_layernorm", "blocks.{i}.ffn_norm"),
    ("model.layers.{i}.post_feedforward_layernorm", "blocks.{i}.ffn_post_norm"),
)
GLM4_NORMS: Table = (
    *TWO_NORMS,
    ("model.layers.{i}.post_self_attn_layernorm", "blocks.{i}.mixer_post_norm"),
    ("model.layers.{i}.post_mlp_layernorm", "blocks.{i}.ffn_post_norm"),
)
LLAMA = ENDS + ATTENTION + GATED + TWO_NORMS
DEEPSEEK = ENDS + LATENT_ATTENTION + GATED + TWO_NORMS
GEMMA = ENDS + ATTENTION + GATED + GEMMA_NORMS
GLM = ENDS + ATTENTION + GATED_IN_ONE + TWO_NORMS
GLM4 = ENDS + ATTENTION + GATED_IN_ONE + GLM4_NORMS

OUTPUT_NORMS: Table = (
    ("model.layers.{i}.post_attention_layernorm", "blocks.{i}.mixer_norm"),
    ("model.layers.{i}.post_feedforward_layernorm", "blocks.{i}.ffn_norm"),
)
OLMO2 = ENDS + ATTENTION + GATED + OUTPUT_NORMS
TURNED_NORMS: Table = (
    ("model.layers.{i}.self_attn.query_layernorm", "blocks.{i}.mixer.q_norm"),
    ("model.layers.{i}.self_attn.key_layernorm", "blocks.{i}.mixer.k_norm"),
)

GPT2: Table = (
    ("transformer.wte", "embed.tokens"),
    ("transformer.wpe", "embed.positions.table"),
    ("transformer.h.{i}.ln_1", "blocks.{i}.mixer_norm"),
    ("transformer.h.{i}.attn.c_attn", "blocks.{i}.mixer.{wq,wk,wv}", "columns"),
    ("transformer.h.{i}.attn.c_proj", "blocks.{i}.mixer.wo", "columns"),
    ("transformer.h.{i}.ln_2", "blocks.{i}.ffn_norm"),
    ("transformer.h.{i}.mlp.c_fc", "blocks.{i}.ffn.up", "columns"),
    ("transformer.h.{i}.mlp.c_proj", "blocks.{i}.ffn.down", "columns"),
    ("transformer.ln_f", "final_norm"),
    ("lm_head", "head"),
)
GPTJ: Table = (
    ("transformer.wte", "embed.tokens"),
    ("transformer.h.{i}.ln_1", "blocks.{i}.mixer_norm"),
    ("transformer.h.{i}.attn.q_proj", "blocks.{i}.mixer.wq"),
    ("transformer.h.{i}.attn.k_proj", "blocks.{i}.mixer.wk"),
    ("transformer.h.{i}.attn.v_proj", "blocks.{i}.mixer.wv"),
    ("transformer.h.{i}.attn.out_proj", "blocks.{i}.mixer.wo"),
    ("transformer.h.{i}.mlp.fc_in", "blocks.{i}.ffn.up"),
    ("transformer.h.{i}.mlp.fc_out", "blocks.{i}.ffn.down"),
    ("transformer.ln_f", "final_norm"),
    ("lm_head", "head"),
)
GPT_NEOX: Table = (
    ("gpt_neox.embed_in", "embed.tokens"),
    ("gpt_neox.layers.{i}.input_layernorm", "blocks.{i}.mixer_norm"),
    ("gpt_neox.layers.{i}.post_attention_layernorm", "blocks.{i}.ffn_norm"),
    (
        "gpt_neox.layers.{i}.attention.query_key_value",
        "blocks.{i}.mixer.{wq,wk,wv}",
        "grouped",
    ),
    ("gpt_neox.layers.{i}.attention.dense", "blocks.{i}.mixer.wo"),
    ("gpt_neox.layers.{i}.mlp.dense_h_to_4h", "blocks.{i}.ffn.up"),
    ("gpt_neox.layers.{i}.mlp.dense_4h_to_h", "blocks.{i}.ffn.down"),
    ("gpt_neox.final_layer_norm", "final_norm"),
    ("lm_head", "head"),
)
BLOOM: Table = (
    ("transformer.word_embeddings", "embed.tokens"),
    ("transformer.word_embeddings_layernorm", "embed.norm"),
    ("transformer.h.{i}.input_layernorm", "blocks.{i}.mixer_norm"),
    ("transformer.h.{i}.post_attention_layernorm", "blocks.{i}.ffn_norm"),
    (
        "transformer.h.{i}.self_attention.query_key_value",
        "blocks.{i}.mixer.{wq,wk,wv}",
        "grouped",
    ),
    ("transformer.h.{i}.self_attention.dense", "blocks.{i}.mixer.wo"),
    ("transformer.h.{i}.mlp.dense_h_to_4h", "blocks.{i}.ffn.up"),
    ("transformer.h.{i}.mlp.dense_4h_to_h", "blocks.{i}.ffn.down"),
    ("transformer.ln_f", "final_norm"),
    ("lm_head", "head"),
)
FALCON_40B_NORMS: Table = (
    ("transformer.h.{i}.ln_attn", "blocks.{i}.mixer_norm"),
    ("transformer.h.{i}.ln_mlp", "blocks.{i}.ffn_norm"),
)

TABLES: Mapping[str, Table] = {
    "bloom": BLOOM,
    "cohere": LLAMA,
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "falcon": BLOOM,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "glm": GLM,
    "glm4": GLM4,
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "gptj": GPTJ,
    "granite": LLAMA,
    "hunyuan_v1_dense": TURNED_NORMS + LLAMA,
    "llama": LLAMA,
    "ministral3": LLAMA,
    "mistral": LLAMA,
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "smollm3": LLAMA,
}
VARIANTS: Mapping[
    tuple[str, str], Table
] = {  # by family and the layout of the norms: rows that come first
    ("falcon", "parallel_two"): FALCON_40B_NORMS,
}
# In files of models that see, the language model's names; image tower and prediction
# layer beside it are passed over where a text model is read.
WRAPPED = "model.language_model."
BESIDE_TEXT = r"^(model\.visual|mtp)\."
# Buffers that checkpoints carry: masks, rotary speeds, Marian's sines and MiniMax's
# powers of its decays, which a model of ours works out.
NOT_WEIGHTS = (
    r"\.(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq$"
    r"|\.embed_positions(\.weight)?$|position_ids$"
    r"|\.self_attn\.(query|key|diagonal)_decay$"
)
OTHER_NAMES = {  # in files; `transformers` reads both
    "embed_out.weight": "lm_head.weight",  # GPT-NeoX
    "backbone.embedding.weight": "backbone.embeddings.weight",  # Mamba
}
# Left out by a checkpoint of the bare stack.
BASE_PREFIXES = (
    "model.",
    "transformer.",
    "gpt_neox.",
    "bert.",
    "roberta.",
    "backbone.",
    "rwkv.",
)
