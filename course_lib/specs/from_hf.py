"""From a Hugging Face config to a `ModelSpec`: one parser for each `model_type`, and
one way in.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.specs.families import (
    bert,
    gated_delta,
    gemma,
    gemma4,
    glm,
    gpt,
    griffin,
    hybrids,
    lfm,
    lines,
    llama,
    local,
    mixtures,
    mla,
    moe,
    nemotron,
    parallel,
    sparse_latent,
    ssm,
    t5,
    vision,
)
from course_lib.specs.reader import Config
from course_lib.specs.records import ModelSpec

PARSERS = {
    "afmoe": mixtures.mixture,
    "apertus": lines.line,
    "arcee": lines.line,
    "aria_text": mixtures.mixture,
    "axk1": sparse_latent.axk1,
    "bamba": hybrids.bamba,
    "bart": t5.bart,
    "bert": bert.bert,
    "bloom": gpt.bloom,
    "clip": vision.clip,
    "cohere": parallel.cohere,
    "cohere2": lines.line,
    "cwm": lines.line,
    "deepseek_v2": mla.deepseek_v2,
    "deepseek_v3": mla.deepseek_v3,
    "deepseek_v32": sparse_latent.deepseek_v32,
    "dots1": mixtures.mixture,
    "ernie4_5": lines.line,
    "ernie4_5_moe": mixtures.mixture,
    "exaone4": lines.line,
    "exaone_moe": mixtures.mixture,
    "falcon": parallel.falcon,
    "falcon_h1": hybrids.falcon_h1,
    "falcon_mamba": hybrids.falcon_mamba,
    "flex_olmo": mixtures.mixture,
    "flint": mixtures.mixture,
    "gemma": gemma4.gemma,
    "gemma2": gemma.gemma2,
    "gemma3_text": gemma.gemma3_text,
    "gemma4_text": gemma4.gemma4_text,
    "gemma4_unified_text": gemma4.gemma4_text,
    "glm": glm.glm,
    "glm4": glm.glm4,
    "glm4_moe": moe.glm4_moe,
    "glm4_moe_lite": sparse_latent.glm4_moe_lite,
    "glm_moe_dsa": sparse_latent.glm_moe_dsa,
    "gpt-sw3": gpt.gpt2,
    "gpt2": gpt.gpt2,
    "gpt_neox": parallel.gpt_neox,
    "gpt_oss": moe.gpt_oss,
    "gptj": parallel.gptj,
    "granite": lines.line,
    "granite_swa": lines.line,
    "granitemoe": mixtures.mixture,
    "granitemoe_swa": mixtures.mixture,
    "granitemoehybrid": hybrids.granitemoehybrid,
    "granitemoeshared": mixtures.mixture,
    "helium": lines.line,
    "hunyuan_v1_dense": lines.line,
    "hy_v3": mixtures.mixture,
    "internlm3": lines.line,
    "iquestcoder": lines.line,
    "jais2": lines.line,
    "jamba": ssm.jamba,
    "kimi_k2": mla.deepseek_v3,
    "kimi_linear": sparse_latent.kimi_linear,
    "kolibri1": mixtures.mixture,
    "lfm2": lfm.lfm2,
    "lfm2_moe": lfm.lfm2_moe,
    "llama": llama.llama,
    "llama4_text": local.llama4_text,
    "mamba": ssm.mamba,
    "mamba2": ssm.mamba2,
    "marian": t5.marian,
    "mellum": mixtures.mixture,
    "mimo_v2_flash": local.mimo_v2_flash,
    "minicpm3": sparse_latent.minicpm3,
    "minimax": hybrids.minimax,
    "minimax_m2": mixtures.mixture,
    "ministral": lines.line,
    "ministral3": lines.line,
    "mistral": llama.mistral,
    "mixtral": moe.mixtral,
    "modernbert": bert.modernbert,
    "nemotron": lines.line,
    "nemotron_h": nemotron.nemotron_h,
    "olmo": lines.line,
    "olmo2": lines.line,
    "olmo3": lines.line,
    "olmo_hybrid": hybrids.olmo_hybrid,
    "olmoe": moe.olmoe,
    "palm": parallel.palm,
    "phi3": lines.line,
    "phimoe": mixtures.mixture,
    "qwen2": llama.qwen2,
    "qwen2_moe": mixtures.mixture,
    "qwen3": llama.qwen3,
    "qwen3_5": gated_delta.qwen3_5,
    "qwen3_5_moe": gated_delta.qwen3_5_moe,
    "qwen3_5_moe_text": gated_delta.qwen3_5_moe_text,
    "qwen3_5_text": gated_delta.qwen3_5_text,
    "qwen3_moe": moe.qwen3_moe,
    "qwen3_next": gated_delta.qwen3_next,
    "recurrent_gemma": griffin.recurrent_gemma,
    "roberta": bert.roberta,
    "rwkv": ssm.rwkv,
    "seed_oss": lines.line,
    "smollm3": llama.smollm3,
    "solar_open": mixtures.mixture,
    "starcoder2": lines.line,
    "t5": t5.t5,
    "vaultgemma": gemma4.vaultgemma,
    "vit": vision.vit,
    "youtu": sparse_latent.youtu,
}


def spec_from_hf_config(config: Mapping[str, Any] | str | Path) -> ModelSpec:
    """Return the specification of a model from its Hugging Face config.

    Args:
        config: the fields of a config.json, or what `to_dict()` of a `transformers`
            config gives, or the path of a config.json.

    Returns:
        The model. Its name is its `model_type`; published totals and sources are left
        empty.

    Raises:
        ValueError: if the file cannot be read as a JSON mapping, the `model_type` is
            unknown, or a field is missing or of the wrong kind (the message names it).

    >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 3, "intermediate_size": 5, "vocab_size": 7}
    >>> spec = spec_from_hf_config(config)
    >>> len(spec.layers), spec.layers[0].mixer.head_dim
    (3, 4)
    """
    return spec_from_fields(_read(config) if isinstance(config, str | Path) else config)


def spec_from_fields(mapping: Mapping[str, Any]) -> ModelSpec:
    """Return the specification of a model from the fields of its config; errors as
    above.
    """
    fields = Config(mapping)
    if fields.model_type not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        raise ValueError(
            f"model_type={fields.model_type!r} is not supported; supported: {known}"
        )
    return PARSERS[fields.model_type](fields)


def _read(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"config={str(path)!r}: not a readable JSON file ({error})"
        ) from error
