"""What sets a decoder of the LLaMA line apart, as a record, and a table of the families
that are read by these settings alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """What sets a family apart from LLaMA, and its defaults.

    `bias` names the field that gives queries, keys and values a bias, `out` the one for
    the output projection ("" where it has none), `mlp_bias` that of the FFN; `biased`
    and `mlp_biased` are their defaults. `windows`: "none"; "whole", a window in each
    layer; "pattern", by `layer_types` or in all but every `period`-th layer, counted
    from the first (`full_first`) or the last of a period; `period` 0 windows none.
    "late": where `use_sliding_window`, from layer `max_window_layers` (else `period`)
    on; "even": there, in every second layer before it. `pattern` names the period.
    `nope`: layers without a window turn nothing, if
    others have one. `plain_local`: windowed layers turn at `theta`, whatever the config
    says of the others. `scaled`: Granite's four multipliers are read. `logit_scale`:
    Cohere's default. `rotary_dim`:
    that field says how much of a head turns. `needs_rope`:
    without RoPE fields `transformers` assumes a scaling of its own, so they must be
    given.
    """

    eps: float = 1e-6
    norm: str = "rmsnorm"
    shift: bool = False
    gain: bool = True
    offset: float = 0.0
    layout: str = "pre"
    tied: bool = False
    theta: float = 10_000.0
    fraction: float = 1.0
    pairing: str = "rotate_half"
    bias: str = "attention_bias"
    biased: bool = False
    out: str = "attention_bias"
    mlp_bias: str = "mlp_bias"
    mlp_biased: bool = False
    qk_norm: str = "none"
    sinks: bool = False
    plain_mlp: bool = False
    activation: str = "silu"
    windows: str = "none"
    window: int | None = None
    period: int = 0
    full_first: bool = False
    pattern: str = "sliding_window_pattern"
    nope: bool = False
    scaled: bool = False
    output_gate: bool = False
    plain_local: bool = False
    logit_scale: float | None = None
    needs_rope: bool = False
    rotary_dim: bool = False


LINES = {
    "apertus": Line(eps=1e-5, theta=12e6, qk_norm="head", plain_mlp=True, mlp_bias="",
                    activation="xielu", needs_rope=True),
    "arcee": Line(eps=1e-5, plain_mlp=True, activation="relu2"),
    "cohere2": Line(eps=1e-5, norm="layernorm", layout="parallel", tied=True,
                    pairing="interleaved", windows="pattern", window=4096, period=4,
                    nope=True, mlp_bias="", logit_scale=0.0625),
    "cwm": Line(eps=1e-5, theta=1e6, bias="", out="", windows="pattern", window=8192,
                period=4, full_first=True, needs_rope=True),
    "ernie4_5": Line(eps=1e-5, tied=True, theta=5e5, pairing="interleaved",
                     bias="use_bias", out="use_bias", mlp_bias="use_bias"),
    "exaone4": Line(eps=1e-5, layout="output", bias="", out="", mlp_bias="",
                    qk_norm="head", windows="pattern", window=4096, period=4,
                    nope=True),
    "granite": Line(scaled=True),
    "granite_swa": Line(eps=1e-5, tied=True, scaled=True, sinks=True,
                        windows="pattern", window=128, period=4, full_first=True),
    "helium": Line(eps=1e-8, theta=1e5, pairing="interleaved", out=""),
    "hunyuan_v1_dense": Line(eps=1e-5, qk_norm="turned", mlp_bias=""),
    "internlm3": Line(eps=1e-5, bias="qkv_bias", out="qkv_bias", mlp_bias="qkv_bias"),
    "iquestcoder": Line(eps=1e-5),
    "jais2": Line(eps=1e-5, norm="layernorm", shift=True, biased=True, mlp_biased=True,
                  plain_mlp=True, activation="relu2"),
    "ministral": Line(bias="", out="", mlp_bias="", windows="pattern", window=4096,
                      period=-1),
    "ministral3": Line(eps=1e-5, theta=1e6, bias="", out="", mlp_bias="",
                       windows="whole", needs_rope=True),
    "nemotron": Line(eps=1e-5, norm="layernorm", shift=True, offset=1.0, fraction=0.5,
                     plain_mlp=True, activation="relu2"),
    "olmo": Line(eps=1e-5, norm="layernorm", gain=False, mlp_bias=""),
    "olmo2": Line(eps=1e-5, layout="output", qk_norm="width", mlp_bias=""),
    "olmo3": Line(eps=1e-5, theta=5e5, layout="output", qk_norm="width", mlp_bias="",
                  windows="pattern", window=4096, period=4, plain_local=True),
    "phi3": Line(eps=1e-5, bias="", out="", mlp_bias="", windows="whole"),
    "seed_oss": Line(biased=True, out="attention_out_bias"),
    "starcoder2": Line(eps=1e-5, norm="layernorm", shift=True, tied=True,
                       bias="use_bias", biased=True, out="use_bias",
                       mlp_bias="use_bias", mlp_biased=True, plain_mlp=True,
                       activation="gelu_pytorch_tanh", windows="whole"),
}  # fmt: skip
"""The families that are read by `line`, with what sets them apart."""
