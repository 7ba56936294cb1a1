"""What a config.json says of its weights' precision (`quantization_config`): the
method, the bits of a weight with its scales, and which modules stay as they are.

Bits of a quantised weight are those of the number and its share of what a group of
weights has in common: a scale, and for some methods a zero point. MXFP4 has one scale
of 8 bits for 32 weights: 4 + 8 / 32 = 4.25 bits. What a whole row or matrix has in
common is left out, below a thousandth.

Source: `transformers` 5, `utils.quantization_config` and
    `quantizers.quantizers_utils.should_convert_module`; compressed-tensors,
    `QuantizationArgs`; NVIDIA Model Optimizer, `hf_quant_config.json`.

Terms:
    quantization_config: how a file's weights are stored ->
        quantisation_of
    bits per weight, fractional bits: bits of a number and its share of scales ->
        quantisation_of
"""

from collections.abc import Mapping
from typing import Any

from course_lib.specs.records.quantisation import Quantisation

KEPT = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "llm_int8_skip_modules",
)
"""Fields that list the modules which stay as they are."""


def converts(quantisation: Quantisation, module: str) -> bool:
    """Whether a module of that name is quantised.

    >>> fp8 = Quantisation(method="fp8", bits=8, kept=("model.layers.*.self_attn",))
    >>> converts(fp8, "model.layers.3.mlp.up_proj")
    True
    >>> converts(fp8, "model.layers.3.self_attn.q_proj")
    False
    """
    if quantisation.bits is None:
        return False
    if quantisation.experts_only and ".experts." not in module:
        return False
    return not any(matches(pattern, module) for pattern in quantisation.kept)


def quantisation_text(quantisation: Quantisation) -> str:
    """The method and its bits, in words.

    >>> quantisation_text(Quantisation(method="mxfp4", bits=4.25, experts_only=True))
    'mxfp4 (4.25 bits a weight, experts alone)'
    """
    if quantisation.bits is None:
        return f"{quantisation.method} (not counted)"
    alone = ", experts alone" if quantisation.experts_only else ""
    return f"{quantisation.method} ({quantisation.bits:.4g} bits a weight{alone})"


def quantisation_of(config: Mapping[str, Any]) -> Quantisation | None:
    """The quantisation that a config names.

    Args: `config` the fields of a config.json.
    Returns: None where the config names none.
    Raises: ValueError if `quantization_config` is no mapping, or its bits or groups are
        no numbers that the method allows.

    >>> config = {"quantization_config": {"quant_method": "mxfp4"}}
    >>> quantisation_of(config).bits
    4.25
    >>> awq = {"quant_method": "awq", "bits": 4, "group_size": 128}
    >>> quantisation_of({"quantization_config": awq}).bits
    4.15625
    """
    fields = config.get("quantization_config")
    if fields is None:
        return None
    if not isinstance(fields, Mapping):
        raise ValueError(f"quantization_config={fields!r}: a mapping is wanted")
    method = fields.get("quant_method") or "unnamed"
    if not isinstance(method, str):
        raise ValueError(f"quant_method={method!r}: a word is wanted")
    kept: list[str] = []
    for name in KEPT:
        listed = fields.get(name) or ()
        if isinstance(listed, str) or not all(isinstance(one, str) for one in listed):
            raise ValueError(f"{name}={listed!r}: a list of names is wanted")
        kept += listed
    named = "lm_head" in kept or "re:.*lm_head" in kept
    linear = method == "compressed-tensors" and not named
    return Quantisation(
        method=method,
        bits=_bits(method.lower().replace("_", "-"), fields),
        kept=tuple(kept),
        experts_only=method == "mxfp4",
        head=fields.get("lm_head") is True or linear,
    )


def _bits(method: str, fields: Mapping[str, Any]) -> float | None:
    """Bits of a quantised weight; None where the method is not counted."""
    if method == "mxfp4":
        return 4 + 8 / 32
    if method in ("fp8", "fbgemm-fp8"):
        return 8 + _share(32, fields.get("weight_block_size"))
    if method in ("gptq", "awq", "gptq-marlin", "awq-marlin"):
        bits = _number("bits", fields.get("bits", 4))
        return bits + _share(16 + bits, [fields.get("group_size", 128)])
    if method == "bitsandbytes":
        if not fields.get("load_in_4bit"):
            return 8
        twice = fields.get("bnb_4bit_use_double_quant")
        return 4 + (8 / 64 + 32 / (64 * 256) if twice else 32 / 64)
    if method == "modelopt" and "config_groups" not in fields:
        algorithm = str(fields.get("quant_algo", ""))
        nvfp4 = 4 + _share(8, [fields.get("group_size", 16)])
        return {"FP8": 8, "NVFP4": nvfp4}.get(algorithm)
    if method in ("compressed-tensors", "modelopt"):
        return _groups(fields)
    return None


def _groups(fields: Mapping[str, Any]) -> float | None:
    """Bits of the widest of a file's groups: what is counted is at least what lies
    there.
    """
    groups = fields.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"config_groups={groups!r}: a mapping of groups is wanted")
    found = []
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping):
            raise ValueError(f"config_groups.{name}={group!r}: weights are wanted")
        bits = _number("num_bits", weights.get("num_bits", 8))
        scale = 8 if bits == 4 and weights.get("type") == "float" else 16
        zero = bits if weights.get("symmetric") is False else 0
        block = weights.get("block_structure") or [weights.get("group_size") or -1]
        found.append(bits + _share(scale + zero, block))
    return max(found)


def _share(bits: float, sizes: Any) -> float:
    """A weight's share of bits that a group of these sizes has in common; 0 where the
    group is a whole row.
    """
    weights = 1
    for size in sizes or [-1]:
        weights *= _number("group_size", size, least=-1)
    return bits / weights if weights > 0 else 0


def _number(name: str, value: Any, least: int = 1) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= 10**6 or value == 0:
        raise ValueError(f"{name}={value!r}: a whole number from 1 is wanted")
    return value


def matches(pattern: str, module: str) -> bool:
    """Whether a pattern of a config means a module: its name, a parent's, the end of
    it, or a pattern with stars ("re:" marks a regular expression, of which ".*" is
    read).

    >>> matches("lm_head", "lm_head"), matches("re:.*self_attn.*", "a.self_attn.o_proj")
    (True, True)
    >>> matches("model.layers.1", "model.layers.10.mlp.up_proj")
    False
    """
    plain = pattern.removeprefix("re:").removeprefix("^").removesuffix("$")
    plain = plain.replace("\\", "").replace(".*", "*")
    if "*" in plain:
        return _glob(plain, module) or _glob(plain + ".*", module)
    inside = f".{module}."
    return f".{plain}." in inside


def _glob(pattern: str, text: str) -> bool:
    """Whether the text is the pattern with something in the place of each star."""
    first, *rest = pattern.split("*")
    if not text.startswith(first):
        return False
    at = len(first)
    for number, part in enumerate(rest):
        if number == len(rest) - 1:
            return text.endswith(part) and len(text) - len(part) >= at
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return at == len(text)
