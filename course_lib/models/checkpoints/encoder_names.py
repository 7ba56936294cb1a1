"""Tensor names of encoder and encoder-decoder checkpoints, in the form of
`decoder_names`.

A row of the layout "copy" names a second home of a tensor in their files, which must
hold the same numbers.

Terms:
    tensor names of encoders: the same for encoders and encoder-decoders ->
        PAIRED_TABLES
"""

from course_lib.models.checkpoints.decoder_names import Table


def _post_norm_encoder(base: str, head: Table) -> Table:
    """BERT and what shares its layers."""
    layer = f"{base}.encoder.layer.{{i}}"
    return (
        (f"{base}.embeddings.word_embeddings", "embed.tokens"),
        (f"{base}.embeddings.position_embeddings", "embed.positions.table"),
        (f"{base}.embeddings.token_type_embeddings", "embed.segments"),
        (f"{base}.embeddings.LayerNorm", "embed.norm"),
        (f"{layer}.attention.self.query", "blocks.{i}.mixer.wq"),
        (f"{layer}.attention.self.key", "blocks.{i}.mixer.wk"),
        (f"{layer}.attention.self.value", "blocks.{i}.mixer.wv"),
        (f"{layer}.attention.output.dense", "blocks.{i}.mixer.wo"),
        (f"{layer}.attention.output.LayerNorm", "blocks.{i}.mixer_norm"),
        (f"{layer}.intermediate.dense", "blocks.{i}.ffn.up"),
        (f"{layer}.output.dense", "blocks.{i}.ffn.down"),
        (f"{layer}.output.LayerNorm", "blocks.{i}.ffn_norm"),
        (f"{base}.pooler.dense", "pooler"),
        *head,
    )


BERT = _post_norm_encoder(
    "bert",
    (
        ("cls.predictions.transform.dense", "transform"),
        ("cls.predictions.transform.LayerNorm", "transform_norm"),
        ("cls.predictions.bias", "head.bias"),
        ("cls.predictions.decoder.bias", "head.bias", "copy"),
        ("cls.predictions.decoder.weight", "head.weight"),
    ),
)
ROBERTA = _post_norm_encoder(
    "roberta",
    (
        ("lm_head.dense", "transform"),
        ("lm_head.layer_norm", "transform_norm"),
        ("lm_head.bias", "head.bias"),
        ("lm_head.decoder.bias", "head.bias", "copy"),
        ("lm_head.decoder.weight", "head.weight"),
    ),
)
MODERNBERT: Table = (
    ("model.embeddings.tok_embeddings", "embed.tokens"),
    ("model.embeddings.norm", "embed.norm"),
    ("model.layers.{i}.attn_norm", "blocks.{i}.mixer_norm"),
    ("model.layers.{i}.attn.Wqkv", "blocks.{i}.mixer.{wq,wk,wv}", "stacked"),
    ("model.layers.{i}.attn.Wo", "blocks.{i}.mixer.wo"),
    ("model.layers.{i}.mlp_norm", "blocks.{i}.ffn_norm"),
    ("model.layers.{i}.mlp.Wi", "blocks.{i}.ffn.{gate,up}", "stacked"),
    ("model.layers.{i}.mlp.Wo", "blocks.{i}.ffn.down"),
    ("model.final_norm", "final_norm"),
    ("head.dense", "transform"),
    ("head.norm", "transform_norm"),
    ("decoder", "head"),
)


def _t5_stack(side: str) -> Table:
    block, feed = f"{side}.block.{{i}}.layer", 1 if side == "encoder" else 2
    rows: list = [("k", "wk"), ("q", "wq"), ("v", "wv"), ("o", "wo")]
    table = [
        (f"{block}.0.SelfAttention.{theirs}", f"{side}.{{i}}.mixer.{ours}")
        for theirs, ours in rows
    ]
    table += [
        (
            f"{block}.0.SelfAttention.relative_attention_bias",
            f"{side}.{{i}}.mixer.position_bias.table",
        ),
        (f"{block}.0.layer_norm", f"{side}.{{i}}.mixer_norm"),
    ]
    if side == "decoder":
        table += [
            (f"{block}.1.EncDecAttention.{theirs}", f"{side}.{{i}}.cross.{ours}")
            for theirs, ours in rows
        ]
        table += [(f"{block}.1.layer_norm", f"{side}.{{i}}.cross_norm")]
    table += [
        (f"{block}.{feed}.DenseReluDense.wi_0", f"{side}.{{i}}.ffn.gate"),
        (f"{block}.{feed}.DenseReluDense.wi_1", f"{side}.{{i}}.ffn.up"),
        (f"{block}.{feed}.DenseReluDense.wo", f"{side}.{{i}}.ffn.down"),
        (f"{block}.{feed}.layer_norm", f"{side}.{{i}}.ffn_norm"),
        (f"{side}.final_layer_norm", f"{side}_norm"),
    ]
    return tuple(table)


def _bart_stack(side: str, embed: str) -> Table:
    layer, parts = f"model.{side}.layers.{{i}}", [("self_attn", "mixer")]
    parts += [("encoder_attn", "cross")] if side == "decoder" else []
    table = [
        (f"{layer}.{theirs}.{name}", f"{side}.{{i}}.{ours}.{matrix}")
        for theirs, ours in parts
        for name, matrix in (
            ("q_proj", "wq"),
            ("k_proj", "wk"),
            ("v_proj", "wv"),
            ("out_proj", "wo"),
        )
    ]
    table += [
        (f"{layer}.{theirs}_layer_norm", f"{side}.{{i}}.{ours}_norm")
        for theirs, ours in parts
    ]
    table += [
        (f"{layer}.fc1", f"{side}.{{i}}.ffn.up"),
        (f"{layer}.fc2", f"{side}.{{i}}.ffn.down"),
        (f"{layer}.final_layer_norm", f"{side}.{{i}}.ffn_norm"),
        (f"model.{side}.embed_positions", f"{embed}.positions.table"),
        (f"model.{side}.layernorm_embedding", f"{embed}.norm"),
    ]
    return tuple(table)


T5: Table = (
    ("shared", "source_embed.tokens"),
    ("encoder.embed_tokens", "source_embed.tokens", "copy"),
    ("decoder.embed_tokens", "embed.tokens"),
    *_t5_stack("encoder"),
    *_t5_stack("decoder"),
    ("lm_head", "head"),
)
BART: Table = (
    ("model.shared", "source_embed.tokens"),
    ("model.encoder.embed_tokens", "source_embed.tokens", "copy"),
    ("model.decoder.embed_tokens", "embed.tokens"),
    *_bart_stack("encoder", "source_embed"),
    *_bart_stack("decoder", "embed"),
    ("lm_head", "head"),
    ("final_logits_bias", "head_shift"),
)
PAIRED_TABLES = {
    "bart": BART,
    "bert": BERT,
    "marian": BART,
    "modernbert": MODERNBERT,
    "roberta": ROBERTA,
    "t5": T5,
}
PAIRED_VARIANTS = {  # by family and kind of feed-forward part: rows that come first
    ("t5", "mlp"): (
        ("encoder.block.{i}.layer.1.DenseReluDense.wi", "encoder.{i}.ffn.up"),
        ("decoder.block.{i}.layer.2.DenseReluDense.wi", "decoder.{i}.ffn.up"),
    ),
}
