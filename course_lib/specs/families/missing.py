"""Families that are refused, and the mechanism that each of them needs and no record
here describes. The list is not complete: a type that is not in it is refused by its
name alone.
"""

MISSING = {
    "albert": "layers that share one set of weights",
    "deberta": "scores of words against positions (disentangled attention)",
    "deberta-v2": "scores of words against positions (disentangled attention)",
    "deepseek_v4": "compressed attention and hyper-connections",
    "dinov2": "a scale on each layer's output and a classifier of two vectors",
    "gemma3n_text": "several streams beside each other (AltUp) and LAuReL",
    "inkling_text": "relative logits and convolutions of a few tokens",
    "led": "windows with tokens that see the whole text",
    "lfm3": "an output gate of one number a head",
    "longformer": "windows with tokens that see the whole text",
    "mllama_text_model": "layers that attend to an image alone",
    "qwen4_exp_text": "embeddings of word groups and gated residuals",
    "siglip": "a pooler that attends to the patches",
    "siglip_vision_model": "a pooler that attends to the patches",
    "whisper": "sound through convolutions, and keys without a bias",
    "zamba": "attention blocks that many layers share",
    "zamba2": "attention blocks that many layers share",
}
"""Model type -> what it needs."""
