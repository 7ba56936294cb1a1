"""What of a model stands on more than one of the devices that share it, in words.

Symbols: D devices, G KV heads.

Terms:
    held twice, replicated weights: what several devices hold alike, and how many of
        them -> held_again
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import check_count
from course_lib.costs.devices import SHARED, attention_of, check_split, kv_copies
from course_lib.costs.ends import end_params
from course_lib.costs.mixers.attention import key_value_weights
from course_lib.costs.mixers.dispatch import mixer_params, mixer_part
from course_lib.costs.mixers.latent import down_weights
from course_lib.costs.params import layer_params
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import (
    AttentionSpec,
    LatentAttentionSpec,
    Mixer,
    ModelSpec,
)
from course_lib.specs.unions import of_record


@dataclass(frozen=True)
class Held:
    """Something that stands on several of the devices.

    Attributes:
        what: in words.
        copies: on how many devices each part of it stands.
        params: parameters of one copy; 0 for what is no weight.
        part: the part of `param_count` that they are counted under.
    """

    what: str
    copies: int
    params: int
    part: str


def held_again(
    spec: ModelSpec, devices: int, *, split: str = "heads"
) -> tuple[Held, ...]:
    """What stands on more than one device, with its copies.

    Args, raises: as `device_params`.

    >>> from course_lib.specs.loader import load_spec
    >>> found = held_again(load_spec("qwen2.5-7b"), 8)
    >>> [(held.what, held.copies) for held in found]
    [('4 KV heads', 2), ('norms', 8)]
    """
    check_count(devices=devices)
    check_split(split)
    found: dict[tuple[str, int, str], int] = {}
    for stack in (spec.layers, spec.encoder):
        for layer, count in unique_layers(stack):
            parts = {mixer_part(layer.mixer): layer.mixer}
            parts |= {"cross_attention": layer.cross} if layer.cross else {}
            for part, mixer in parts.items():
                key, params = _held_of(mixer, spec.width, devices, split)
                found[*key, part] = found.get((*key, part), 0) + count * params
            small = layer_params(layer, spec.width)
            for part, what in (("norm", "norms"), ("router", "routers")):
                key = what, devices, part
                found[key] = found.get(key, 0) + count * small[part]
    found["norms", devices, "norm"] += end_params(spec)["norm"]
    order = sorted(found, key=lambda key: key[0] in ("norms", "routers"))
    held = (Held(what, n, found[what, n, part], part) for what, n, part in order)
    return tuple(
        one for one in held if one.copies > 1 and (one.params or one.what in STATES)
    )


STATES = ("recurrent states",)


def _held_of(
    mixer: Mixer, width: int, devices: int, split: str
) -> tuple[tuple[str, int], int]:
    """What of a mixer stands on several devices, its copies, its parameters."""
    shared = of_record("mixer", mixer, SHARED)
    if split == "requests":
        what = "recurrent layers" if shared == "states" else "attention weights"
        return (what, devices), mixer_params(mixer, width)
    mixer = attention_of(mixer)
    if shared in ("KV heads", "both"):
        heads = f"{mixer.kv_heads} KV head" + "s" * (mixer.kv_heads != 1)
        copies = kv_copies(mixer.kv_heads, devices)
        return (heads, copies), key_value_weights(mixer, width)
    if shared == "latents":
        return ("latents and their matrices", devices), down_weights(mixer, width)
    return (STATES[0], devices), 0


def uneven_heads(
    spec: ModelSpec, devices: int, split: str = "heads"
) -> tuple[int, ...]:
    """Counts of query heads that the devices do not divide, which engines refuse.

    >>> from course_lib.specs.loader import load_spec
    >>> uneven_heads(load_spec("qwen2.5-7b"), devices=8)
    (28,)
    """
    check_split(split)
    if split == "requests":
        return ()
    attends = (AttentionSpec, LatentAttentionSpec)
    mixers = [attention_of(layer.mixer) for layer, _ in unique_layers(spec.layers)]
    heads = {mixer.heads for mixer in mixers if isinstance(mixer, attends)}
    return tuple(sorted(count for count in heads if count % devices))
