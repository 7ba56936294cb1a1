"""Small odd configs of every family: what `spec_from_hf_config` must count as `transformers` does."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.parity import tiny_families
from tests.parity.tiny_decoders import DECODERS, Fields, odd
from tests.parity.tiny_kin import SEEING


def gpt2(rng: Random) -> Fields:
    """GPT-2, with its own field names."""
    heads = odd(rng, 5)
    return {
        "model_type": "gpt2",
        "n_layer": rng.randint(1, 4),
        "n_head": heads,
        "n_embd": heads * odd(rng),
        "n_inner": rng.choice((None, odd(rng, 31))),
        "n_positions": odd(rng),
        "vocab_size": odd(rng, 31),
        "tie_word_embeddings": rng.random() < 0.5,
    }


def encoder(rng: Random, model_type: str, **more: Any) -> Fields:
    """BERT's fields, which ViT and CLIP's towers share."""
    heads = odd(rng, 5)
    return {
        "model_type": model_type,
        "hidden_size": heads * odd(rng),
        "num_attention_heads": heads,
        "num_hidden_layers": rng.randint(1, 4),
        "intermediate_size": odd(rng, 31),
        **more,
    }


def bert(rng: Random) -> Fields:
    """BERT, with any number of token types."""
    sizes = {"vocab_size": odd(rng, 31), "max_position_embeddings": odd(rng), "type_vocab_size": odd(rng, 5)}
    return masked(rng, encoder(rng, "bert", **sizes), "Bert")


def masked(rng: Random, fields: Fields, name: str) -> Fields:
    """The same, or with the head of a masked model."""
    return fields | ({"architectures": [f"{name}ForMaskedLM"]} if rng.random() < 0.5 else {})


def roberta(rng: Random) -> Fields:
    """RoBERTa, whose positions start after the padding id."""
    padding = rng.randint(0, 3)
    more = {"pad_token_id": padding, "bos_token_id": 0, "eos_token_id": 2}
    rows = {"max_position_embeddings": padding + 1 + odd(rng)}
    return masked(rng, bert(rng) | {"model_type": "roberta"} | more | rows, "Roberta")


def modernbert(rng: Random) -> Fields:
    """ModernBERT, its global layers set apart by a number."""
    fields = encoder(rng, "modernbert", vocab_size=odd(rng, 31), max_position_embeddings=odd(rng))
    heads = fields["num_attention_heads"]
    fields |= {"hidden_size": heads * 2 * odd(rng), "num_hidden_layers": rng.randint(1, 6)}
    fields |= {"local_attention": rng.randint(2, 9), "global_attn_every_n_layers": rng.randint(1, 4)}
    fields |= {"global_rope_theta": 5e4, "local_rope_theta": 2e3}
    fields |= {f"{token}_token_id": 1 for token in ("pad", "bos", "eos", "cls", "sep")}
    flags = ("attention_bias", "mlp_bias", "norm_bias", "decoder_bias", "classifier_bias")
    fields |= {flag: rng.random() < 0.5 for flag in flags}
    return masked(rng, fields, "ModernBert")


def t5(rng: Random) -> Fields:
    """T5, gated or not, with stacks of different depth."""
    return {
        "model_type": "t5",
        "d_model": odd(rng, 31),
        "d_kv": odd(rng),
        "d_ff": odd(rng, 31),
        "num_heads": odd(rng, 5),
        "num_layers": rng.randint(1, 4),
        "num_decoder_layers": rng.randint(1, 4),
        "relative_attention_num_buckets": 2 * odd(rng, 9),
        "feed_forward_proj": rng.choice(("relu", "gated-gelu", "gated-silu")),
        "vocab_size": odd(rng, 31),
    }


def bart(rng: Random) -> Fields:
    """BART, with stacks of different depth, heads and FFN width."""
    sides = {}
    for side in ("encoder", "decoder"):
        sizes = {"layers": rng.randint(1, 4), "attention_heads": rng.choice((1, 3)), "ffn_dim": odd(rng, 31)}
        sides |= {f"{side}_{name}": size for name, size in sizes.items()}
    ends = {"d_model": 3 * odd(rng), "vocab_size": odd(rng, 31), "max_position_embeddings": odd(rng)}
    # Ids of special tokens must lie inside so small a vocabulary.
    return {"model_type": "bart", **sides, **ends, "pad_token_id": 1, "eos_token_id": 2}


def marian(rng: Random) -> Fields:
    """Marian: BART's fields, with sines for positions."""
    return bart(rng) | {"model_type": "marian", "decoder_start_token_id": 1}


def kin_of_t5(model_type: str) -> Callable[[Random], Fields]:
    """A family with T5's fields, whose head is tied whatever they say."""
    return lambda rng: t5(rng) | {"model_type": model_type, "tie_word_embeddings": rng.random() < 0.5}


def kin_of_bart(model_type: str) -> Callable[[Random], Fields]:
    """A family with BART's fields."""
    return lambda rng: bart(rng) | {"model_type": model_type, "scale_embedding": rng.random() < 0.5}


def mamba(rng: Random) -> Fields:
    """Mamba, with the step's rank given or left to the width."""
    return {
        "model_type": "mamba",
        "hidden_size": odd(rng, 31),
        "expand": rng.randint(1, 3),
        "state_size": odd(rng),
        "conv_kernel": rng.randint(2, 5),
        "time_step_rank": rng.choice(("auto", odd(rng))),
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": odd(rng, 31),
        **{flag: rng.random() < 0.5 for flag in ("use_bias", "use_conv_bias", "tie_word_embeddings")},
    }


def mamba2(rng: Random) -> Fields:
    """Mamba-2: its heads make up twice the width."""
    heads, head_dim = 2 * odd(rng, 5), odd(rng)
    return mamba(rng) | {
        "model_type": "mamba2",
        "hidden_size": heads * head_dim // 2,
        "expand": 2,
        "num_heads": heads,
        "head_dim": head_dim,
        "n_groups": rng.choice((1, 2)),
    }


def rwkv(rng: Random) -> Fields:
    """RWKV-4, with inner widths of their own or the defaults."""
    return {
        "model_type": "rwkv",
        "hidden_size": odd(rng, 31),
        "attention_hidden_size": rng.choice((None, odd(rng, 31))),
        "intermediate_size": rng.choice((None, odd(rng, 31))),
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": odd(rng, 31),
        "tie_word_embeddings": rng.random() < 0.5,
    }


def image(rng: Random) -> Fields:
    """An image which is a whole number of patches across, and some channels."""
    patch = odd(rng, 5)
    return {"patch_size": patch, "image_size": patch * odd(rng, 5), "num_channels": rng.choice((1, 3))}


def vit(rng: Random) -> Fields:
    """ViT with any number of classes."""
    more = {"qkv_bias": rng.random() < 0.5, "num_labels": odd(rng)}
    return encoder(rng, "vit", **image(rng), **more)


def clip(rng: Random) -> Fields:
    """CLIP's two towers, of different sizes."""
    words = {
        "vocab_size": odd(rng, 31),
        "max_position_embeddings": odd(rng),
        "eos_token_id": 2,
        "bos_token_id": 0,
    }
    return {
        "model_type": "clip",
        "projection_dim": odd(rng),
        "text_config": encoder(rng, "clip_text_model", **words),
        "vision_config": encoder(rng, "clip_vision_model", **image(rng)),
    }


def clip_text_model(rng: Random) -> Fields:
    """CLIP's text tower in a file of its own."""
    whole = clip(rng)
    return whole["text_config"] | {"projection_dim": whole["projection_dim"]}


def clip_vision_model(rng: Random) -> Fields:
    """CLIP's image tower in a file of its own."""
    whole = clip(rng)
    return whole["vision_config"] | {"projection_dim": whole["projection_dim"]}


def bloom(rng: Random) -> Fields:
    """BLOOM, with a number of heads that need not be a power of two."""
    heads = rng.randint(1, 6)
    return {
        "model_type": "bloom",
        "hidden_size": heads * odd(rng),
        "n_head": heads,
        "n_layer": rng.randint(1, 4),
        "vocab_size": odd(rng, 31),
        "tie_word_embeddings": rng.random() < 0.5,
    }


def distilbert(rng: Random) -> Fields:
    """DistilBERT, with its own field names."""
    heads = odd(rng, 5)
    fields = {
        "model_type": "distilbert",
        "dim": heads * 2 * odd(rng),
        "n_heads": heads,
        "n_layers": rng.randint(1, 4),
        "hidden_dim": odd(rng, 31),
        "vocab_size": odd(rng, 31),
        "max_position_embeddings": odd(rng),
        "sinusoidal_pos_embds": rng.random() < 0.5,
    }
    return masked(rng, fields, "DistilBert")


def kin_of_bert(model_type: str, name: str, *without: str, **more: Any) -> Callable[[Random], Fields]:
    """A family with BERT's fields, but for those `without`; a callable in `more` is drawn."""

    def draw(rng: Random) -> Fields:
        fields = (roberta if "pad_token_id" in more else bert)(rng) | {"model_type": model_type}
        fields = {field: value for field, value in fields.items() if field not in (*without, "architectures")}
        fields |= {field: one(rng) if callable(one) else one for field, one in more.items()}
        if "max_position_embeddings" in fields and "pad_token_id" in fields:
            fields["max_position_embeddings"] += 2
        return masked(rng, fields, name)

    return draw


def electra(rng: Random) -> Fields:
    """ELECTRA whose words are as wide as the model."""
    fields = kin_of_bert("electra", "Electra")(rng)
    return fields | {"embedding_size": fields["hidden_size"]}


def nomic_bert(rng: Random) -> Fields:
    """Nomic BERT, whose heads turn pairs."""
    fields = kin_of_bert("nomic_bert", "NomicBert")(rng)
    return fields | {"hidden_size": 2 * fields["hidden_size"], "rope_theta": 5e2}


def switch(rng: Random) -> Fields:
    """Switch, whose stacks have sparse layers of their own number."""
    fields = {name: value for name, value in t5(rng).items() if name != "feed_forward_proj"}
    return fields | {
        "model_type": "switch_transformers",
        "num_experts": rng.randint(2, 5),
        "expert_capacity": rng.randint(1, 9),
        "num_sparse_encoder_layers": rng.randint(1, fields["num_layers"]),
        "num_sparse_decoder_layers": rng.randint(1, fields["num_decoder_layers"]),
        "router_bias": rng.random() < 0.5,
    }


ENCODERS = {
    "camembert": kin_of_bert("camembert", "Camembert", pad_token_id=1),
    "distilbert": distilbert,
    "electra": electra,
    "mpnet": kin_of_bert(
        "mpnet", "MPNet", "type_vocab_size", pad_token_id=1, relative_attention_num_buckets=odd
    ),
    "nomic_bert": nomic_bert,
    "xlm-roberta": kin_of_bert("xlm-roberta", "XLMRoberta", pad_token_id=1),
}

PAIRS = {
    "mbart": kin_of_bart("mbart"),
    "mt5": kin_of_t5("mt5"),
    "pegasus": kin_of_bart("pegasus"),
    "switch_transformers": switch,
    "umt5": kin_of_t5("umt5"),
}

TINY = (
    DECODERS
    | ENCODERS
    | PAIRS
    | SEEING
    | tiny_families.FAMILIES
    | {
        "bart": bart,
        "bert": bert,
        "bloom": bloom,
        "clip": clip,
        "clip_text_model": clip_text_model,
        "clip_vision_model": clip_vision_model,
        "gpt2": gpt2,
        "mamba": mamba,
        "mamba2": mamba2,
        "marian": marian,
        "modernbert": modernbert,
        "roberta": roberta,
        "rwkv": rwkv,
        "t5": t5,
        "vit": vit,
    }
)


def tiny_config(model_type: str, seed: int) -> Fields:
    """The fields of one small config; the same seed gives the same fields."""
    return TINY[model_type](Random(f"{model_type} {seed}"))
