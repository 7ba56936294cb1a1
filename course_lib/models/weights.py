"""Weights: copy the tensors of a Hugging Face checkpoint into a `CausalLM`, name by name.

Only names differ. Both sides keep a matrix as [out in], so that a tensor is copied as it stands.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.models.lm import CausalLM

RENAMED = (  # in this order: a pattern in their name, what stands there in ours
    (r"^model\.embed_tokens\.", "embed.words."),
    (r"^model\.layers\.", "blocks."),
    (r"^model\.norm\.", "final_norm."),
    (r"^lm_head\.", "head."),
    (r"\.self_attn\.([qkvo])_proj\.", r".mixer.w\1."),
    (r"\.self_attn\.(q|kv)_a_proj(_with_mqa)?\.", r".mixer.w\1_down."),
    (r"\.self_attn\.(q|kv)_a_layernorm\.", r".mixer.\1_norm."),
    (r"\.self_attn\.(q|kv)_b_proj\.", r".mixer.w\1_up."),
    (r"\.self_attn\.q_a_proj\.", ".mixer.wq_down."),
    (r"\.self_attn\.q_a_layernorm\.", ".mixer.q_norm."),
    (r"\.self_attn\.q_b_proj\.", ".mixer.wq_up."),
    (r"\.self_attn\.kv_a_proj_with_mqa\.", ".mixer.wkv_down."),
    (r"\.self_attn\.kv_a_layernorm\.", ".mixer.kv_norm."),
    (r"\.self_attn\.kv_b_proj\.", ".mixer.wkv_up."),
    (r"\.self_attn\.", ".mixer."),
    (r"\.mlp\.(gate|up|down)_proj\.", r".ffn.\1."),
    (r"\.input_layernorm\.", ".mixer_norm."),
    (r"\.pre_feedforward_layernorm\.", ".ffn_norm."),
    (r"\.post_feedforward_layernorm\.", ".ffn_post_norm."),
)


def our_name(name: str, *, sandwich: bool = False) -> str:
    """The name in a `CausalLM` of a tensor in a Hugging Face checkpoint.

    `post_attention_layernorm` stands for two things: the norm before the feed-forward part, or, in a
    sandwich, the one after attention.

    >>> our_name("model.layers.3.self_attn.q_proj.weight")
    'blocks.3.mixer.wq.weight'
    >>> our_name("model.layers.3.post_attention_layernorm.weight", sandwich=True)
    'blocks.3.mixer_post_norm.weight'
    """
    after_attention = ".mixer_post_norm." if sandwich else ".ffn_norm."
    for theirs, ours in (*RENAMED, (r"\.post_attention_layernorm\.", after_attention)):
        name = re.sub(theirs, ours, name)
    return name


def load_hf_weights(model: CausalLM, state_dict: Mapping[str, Tensor]) -> None:
    """Copy every tensor of a checkpoint into the model, in the model's dtype.

    Args:
        model: built from the checkpoint's config.
        state_dict: names and tensors, as `transformers` gives them.

    Raises:
        ValueError: a tensor is missing, is unknown to the model, or has another shape; the message names it.
    """
    sandwich = any(layer.norm_layout == "sandwich" for layer in model.spec.layers)
    renamed = {our_name(name, sandwich=sandwich): tensor for name, tensor in state_dict.items()}
    if model.spec.embeddings.tied:
        renamed["head.weight"] = renamed.get("embed.words.weight")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for problem, names in (
        ("missing from state_dict", parameters.keys() - renamed.keys()),
        ("unknown to the model", renamed.keys() - parameters.keys()),
    ):
        if names:
            raise ValueError(f"state_dict: {', '.join(sorted(names))}: {problem}")
    for name, parameter in parameters.items():
        _copy(name, renamed[name], parameter)


def _copy(name: str, source: Tensor, target: Tensor) -> None:
    if source.shape != target.shape:
        raise ValueError(f"state_dict: {name} has shape {tuple(source.shape)}, not {tuple(target.shape)}")
    with torch.no_grad():
        target.copy_(source)
