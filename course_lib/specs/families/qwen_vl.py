"""Language parts of Qwen2-VL, Qwen2.5-VL and Qwen3-VL: Qwen2 and Qwen3 whose rotary
positions turn by time, height and width of an image. They stand for
`Qwen2VLTextModel` and its kin of `transformers`; the wrapper has their head.
"""

from course_lib.specs.families.llama import (
    attention,
    causal_lm,
    decoder_layer,
    head_dim_of,
    windows_of,
)
from course_lib.specs.reader import Config
from course_lib.specs.records import ModelSpec
from course_lib.specs.rotary import rope_spec


def qwen2_vl_text(config: Config) -> ModelSpec:
    """Qwen2 with another eps and base of RoPE."""
    rope = rope_spec(config, head_dim_of(config), theta=1e6)
    windows = (None,) * config.layers()
    if config.flag("use_sliding_window", False):
        first = config.count("max_window_layers", 80, least=0)
        windows = windows_of(config, lambda i: i >= first)
    layers = [
        decoder_layer(
            config, attention(config, window=one, rope=rope, bias_qkv=True), eps=1e-5
        )
        for one in windows
    ]
    return causal_lm(config, tuple(layers))


def qwen3_vl_text(config: Config) -> ModelSpec:
    """Qwen3 without windows, with another base of RoPE."""
    rope = rope_spec(config, head_dim_of(config), theta=5e5)
    bias = config.flag("attention_bias", False)
    options = {"bias_qkv": bias, "bias_out": bias, "qk_norm": "head", "rope": rope}
    layer = decoder_layer(config, attention(config, **options))
    return causal_lm(config, (layer,) * config.layers())
