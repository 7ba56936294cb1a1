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

from course_lib.specs.reader import shown
from course_lib.specs.records.quantisation import Quantisation

KEPT = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Fields that list the modules which stay as they are."""
GROUPED = (
    "gptq",
    "awq",
    "gptq-marlin",
    "awq-marlin",
    "auto-round",
    "intel/auto-round",
)
"""Methods that store a scale of 16 bits and a zero point a group."""


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
    targets = quantisation.targets
    if targets and not any(matches(pattern, module) for pattern in targets):
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
        raise ValueError(f"quantization_config={shown(fields)}: a mapping is wanted")
    nested = fields.get("quantization")  # the form of hf_quant_config.json
    fields = {"quant_method": "modelopt", **nested} if _is_map(nested) else fields
    method = fields.get("quant_method") or _unnamed(fields)
    if not isinstance(method, str):
        raise ValueError(f"quant_method={shown(method)}: a word is wanted")
    kept: list[str] = []
    for name in KEPT:
        listed = fields.get(name) or ()
        if not _are_words(listed):
            raise ValueError(f"{name}={shown(listed)}: a list of names is wanted")
        kept += listed
    named = "lm_head" in kept or "re:.*lm_head" in kept
    linear = method == "compressed-tensors" and not named
    return Quantisation(
        method=method,
        bits=_bits(method.lower().replace("_", "-"), fields),
        kept=tuple(kept),
        targets=_targets(fields.get("config_groups")),
        experts_only=method == "mxfp4",
        head=fields.get("lm_head") is True or linear,
    )


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(one, str) for one in value
    )


def _unnamed(fields: Mapping[str, Any]) -> str:
    """The method of fields that name none, as `transformers` tells it."""
    told = fields.get("load_in_4bit") or fields.get("load_in_8bit")
    return "bitsandbytes" if told else "unnamed"


def _targets(groups: Any) -> tuple[str, ...]:
    """Patterns of the modules that a file's groups convert; none where a group has all
    linear maps.
    """
    found: list[str] = []
    for group in groups.values() if _is_map(groups) else ():
        if not _is_map(group) or not _is_map(group.get("weights")):
            continue
        targets = group.get("targets") or ["Linear"]
        if not _are_words(targets):
            raise ValueError(f"targets={shown(targets)}: a list of names is wanted")
        if "Linear" in targets:
            return ()
        found += targets
    return tuple(found)


def _bits(method: str, fields: Mapping[str, Any]) -> float | None:
    """Bits of a quantised weight; None where the method is not counted."""
    if method == "mxfp4":
        return 4 + 8 / 32
    if method in ("fp8", "fbgemm-fp8"):
        return 8 + _share(32, fields.get("weight_block_size"))
    if method in GROUPED:
        bits = _number("bits", fields.get("bits", 4), most=16)
        return bits + _share(16 + bits, [fields.get("group_size", 128)])
    if method in ("bitsandbytes", "bitsandbytes-4bit", "bitsandbytes-8bit"):
        if not fields.get("load_in_4bit"):
            return 8
        twice = fields.get("bnb_4bit_use_double_quant")
        return 4 + (8 / 64 + 32 / (64 * 256) if twice else 32 / 64)
    if method in ("modelopt", "modelopt-fp4") and not fields.get("config_groups"):
        algorithm = str(fields.get("quant_algo", "")).upper()
        nvfp4 = 4 + _share(8, [fields.get("group_size") or 16])
        known = {"FP8": 8, "FP8_PER_CHANNEL_PER_TOKEN": 8, "NVFP4": nvfp4}
        return known.get(algorithm)
    if method in ("compressed-tensors", "modelopt", "modelopt-fp4"):
        return _groups(fields)
    return None


def _groups(fields: Mapping[str, Any]) -> float | None:
    """Bits of the widest of a file's groups: what is counted is at least what lies
    there.
    """
    groups = fields.get("config_groups")
    if not isinstance(groups, Mapping):
        raise ValueError(
            f"config_groups={shown(groups)}: a mapping of groups is wanted"
        )
    found = []
    for name, group in groups.items():
        if not _is_map(group):
            raise ValueError(f"config_groups.{name}={shown(group)}: weights are wanted")
        weights = group.get("weights")
        if weights is None:  # activations or the cache alone
            continue
        if not _is_map(weights):
            raise ValueError(
                f"config_groups.{name}.weights={shown(weights)}: a mapping"
            )
        bits = _number("num_bits", weights.get("num_bits", 8), most=16)
        scale = 8 if bits == 4 and weights.get("type") == "float" else 16
        zero = bits if weights.get("symmetric") is False else 0
        block = weights.get("block_structure") or [weights.get("group_size") or -1]
        found += [bits + _share(scale + zero, block)]
    return max(found, default=None)


def _share(bits: float, sizes: Any) -> float:
    """A weight's share of bits that a group of these sizes has in common; 0 where the
    group is a whole row.
    """
    weights = 1
    if not isinstance(sizes or [], list | tuple):
        raise ValueError(f"weight_block_size={shown(sizes)}: a list of sizes is wanted")
    for size in sizes or [-1]:
        weights *= _number("group_size", size, least=-1)
    return bits / weights if weights > 0 else 0


def _number(name: str, value: Any, least: int = 1, most: int = 10**6) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= most or value == 0:
        raise ValueError(
            f"{name}={shown(value)}: a whole number from 1 to {most} is wanted"
        )
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
    parts = pattern.split("*")
    first, rest = parts[0], parts[1:]
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
