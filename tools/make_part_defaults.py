"""Write `course_lib/specs/part_defaults.json`: what a part of a config leaves out, and
what `transformers` fills in.

    python tools/make_part_defaults.py

A config.json of several models (words and pictures) holds a config for each, and leaves
out what its family has by default. The table is made from the declared defaults of
`transformers`' config classes, which say nothing of any weights. A test of
`tests/parity` holds that the file is what this program writes.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.models.auto import modeling_auto

FILE = Path(__file__).parents[1] / "course_lib" / "specs" / "part_defaults.json"
SHARED = {one.name for one in dataclasses.fields(PreTrainedConfig)}
NOT_OF_SIZE = re.compile(
    r"dropout|drop_rate|drop_path|layerdrop|initializer|init_std|_token_id|_token_index"
    r"|use_cache|_loss_coef|_loss_weight|jitter|rope_parameters|_init$|gradient"
    r"|^mask_(time|feature)|^output_router|^ctc_|^_|pretraining_tp|z_loss|eps_inside"
)
"""Fields that change no size and no form: of training, of tokens, of RoPE (whose
defaults a family's parser has).
"""
TOWERS = (
    "clip_vision_model",
    "siglip_vision_model",
    "siglip2_vision_model",
    "pixtral",
    "vit",
    "dinov2",
    "whisper",
    "bert",
    "roberta",
    "xlm-roberta",
    "t5",
)
"""Models which a wrapper may name as a part, though none has them by default."""
FAMILIES = (
    "albert",
    "bart",
    "bert",
    "deberta-v2",
    "distilbert",
    "electra",
    "led",
    "longformer",
    "marian",
    "mbart",
    "modernbert",
    "mpnet",
    "mt5",
    "nomic_bert",
    "pegasus",
    "rwkv",
    "switch_transformers",
    "umt5",
)
"""Families that are read, and are neither causal models nor parts by default."""
LONGEST = 400


def declared(config: type[PreTrainedConfig]) -> dict[str, Any]:
    """Return the defaults that a config class declares, without those derived from
    others (they are None there).
    """
    found = {}
    for one in dataclasses.fields(config):
        value = one.default
        if one.default_factory is not dataclasses.MISSING:
            value = one.default_factory()
        if one.name in SHARED or NOT_OF_SIZE.search(one.name):
            continue
        if value is None or not plain(value):
            continue
        found[one.name] = value
    return found


def plain(value: Any) -> bool:
    """Whether JSON can hold a value, and shortly."""
    try:
        return len(json.dumps(value, allow_nan=False)) <= LONGEST
    except (TypeError, ValueError):
        return False


def parts_of(config: type[PreTrainedConfig]) -> dict[str, dict[str, Any]]:
    """Return the parts of a wrapper: the model type of each, whether that is fixed, and
    the values it has where the file leaves the part out.
    """
    found = {}
    for name, one in getattr(config, "sub_configs_defaults", {}).items():
        spec = one if isinstance(one, SubConfigSpec) else SubConfigSpec(one)
        if not spec.model_type:
            continue
        given = {
            key: value
            for key, value in spec.init_kwargs.items()
            if not NOT_OF_SIZE.search(key) and value is not None and plain(value)
        }
        found[name] = {
            "type": spec.model_type,
            "fixed": issubclass(spec.config_class, PreTrainedConfig),
            "given": given,
        }
    return found


def table() -> dict[str, Any]:
    """Return the whole table."""
    wrappers = {name: parts_of(CONFIG_MAPPING[name]) for name in CONFIG_MAPPING}
    wrappers = {name: parts for name, parts in wrappers.items() if speaks(parts)}
    types = set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) | set(TOWERS)
    waiting = {part["type"] for parts in wrappers.values() for part in parts.values()}
    types |= {name for name in {*waiting, *wrappers} if name in CONFIG_MAPPING}
    types |= set(FAMILIES)
    fields, aliases = {}, {}
    for name in sorted(types):
        config = CONFIG_MAPPING[name]
        fields[name] = declared(config)
        mapped = {
            key: value
            for key, value in config.attribute_map.items()
            if value in fields[name] and key != value
        }
        if mapped:
            aliases[name] = mapped
    return {
        "made_from": f"transformers {transformers.__version__}",
        "prefixes": prefixes(types),
        "aliases": aliases,
        "parts": dict(sorted(wrappers.items())),
        "fields": fields,
    }


def prefixes(types: set[str]) -> dict[str, str]:
    """Return how the names of each model type's classes begin: "GPT2" of "gpt2"."""
    found = {}
    for name in sorted(types):
        for mapping, end in (
            (modeling_auto.MODEL_MAPPING_NAMES, "Model"),
            (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, "ForCausalLM"),
        ):
            named = mapping.get(name, "")
            named = named if isinstance(named, str) else named[0]
            if named.endswith(end) and name not in found:
                found[name] = named.removesuffix(end)
    return found


def speaks(parts: dict[str, dict[str, Any]]) -> bool:
    """Whether one of a wrapper's parts reads or writes text."""
    return any("text" in name or "thinker" in name for name in parts)


def written() -> str:
    """Return the file: a line a model type, so that a change is seen where it is."""
    found = table()
    blocks = []
    for name, value in found.items():
        if isinstance(value, str):
            blocks.append(f"{json.dumps(name)}: {json.dumps(value)}")
            continue
        rows = ",\n".join(
            f"{json.dumps(key)}: {json.dumps(row, allow_nan=False)}"
            for key, row in value.items()
        )
        blocks.append(f"{json.dumps(name)}: {{\n{rows}\n}}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
