"""Griffin: RG-LRU in two of three layers, attention in a window in the third. It
stands for `RecurrentGemmaForCausalLM` of `transformers`.
"""

from course_lib.specs.families.gemma import gemma_lm, soft_cap
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    NormSpec,
    RGLRUSpec,
)
from course_lib.specs.rotary import rope_spec


def recurrent_gemma(config: Config) -> ModelSpec:
    """Griffin: two layers of RG-LRU to one of attention in a window. `transformers`
    rounds the factor on the words, sqrt(d), to bfloat16; here it stays as it is.
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    bias = config.flag("attention_bias", False)
    head_dim = config.count("head_dim", width // heads)
    attend = AttentionSpec(
        heads=heads,
        kv_heads=config.count("num_key_value_heads", heads),
        head_dim=head_dim,
        value_dim=head_dim,
        window=config.count("attention_window_size", 2048),
        bias_qkv=bias,
        bias_out=True,
        rope=rope_spec(config, head_dim, fraction=0.5),
    )
    inner = config.count("lru_width", width)
    unit = RGLRUSpec(width=inner, blocks=heads, conv=config.count("conv1d_width", 4))
    kinds = config.get("block_types") or ("recurrent", "recurrent", "attention")
    mixers: dict[str, Mixer] = {"recurrent": unit, "attention": attend}
    mixers.update({"linear_attention": unit, "sliding_attention": attend})
    listed = isinstance(kinds, list | tuple)
    if not listed or any(
        not isinstance(kind, str) or kind not in mixers for kind in kinds
    ):
        raise ValueError(
            f"config field 'block_types': {kinds!r} is not a list of {sorted(mixers)}"
        )
    ffn = FFNSpec(
        kind="glu",
        activation=config.word("hidden_activation", "gelu_pytorch_tanh"),
        width=config.count("intermediate_size") // 2,
        bias=True,
    )
    norm = NormSpec(kind="rmsnorm", eps=config.number("rms_norm_eps", 1e-6), offset=1.0)
    layers = [
        LayerSpec(mixer=mixers[kinds[i % len(kinds)]], ffn=ffn, norm=norm)
        for i in range(config.layers())
    ]
    return gemma_lm(config, layers, soft_cap(config, "logits_soft_cap", 30.0))
