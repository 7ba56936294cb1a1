"""Several devices that serve one copy of a model: what each of them holds.

Two ways are counted, under the names of the choice `split`:

- "heads" (tensor parallelism): every matrix is cut over the D devices, attention by its
  heads. A KV head is not cut further, so a device keeps max(G / D, 1) of them: with
  fewer KV heads than devices each head stands on D / G of them. What all heads share
  stands whole on every device: latents, the matrices that make them, recurrent states,
  norms and routers.
- "requests" (data-parallel attention): every device holds the mixers' weights whole and
  serves requests of its own; all other weights, the experts above all, are cut over the
  D devices.

Symbols: D devices, G KV heads, P parameters.

Engines refuse KV heads that neither divide the devices nor are divided by them, and so
does this module. They also refuse query heads that the devices do not divide, which
changes no byte counted here: `held.uneven_heads` names them.

Differs from source: vLLM and SGLang cut the states of recurrent layers too, by
channels or heads. They are counted whole here, the careful way.

Source: Narayanan et al. 2021, arXiv 2104.04473, section 2.3 (heads); vLLM,
    `ModelConfig.get_num_kv_heads` and `QKVParallelLinear` (KV heads on several devices,
    and what is refused); SGLang, `--enable-dp-attention` (requests).

Terms:
    heads split: matrices cut over devices, attention by its heads -> on_one_device,
        device_params
    data-parallel attention, requests split: whole mixers and own requests on every
        device -> device_params
    replicated KV heads: fewer KV heads than devices, so several devices hold the same
        one -> held_kv_heads
"""

from collections import Counter
from dataclasses import replace
from types import MappingProxyType

from course_lib.costs.arithmetic import Number, check_count, is_symbol, larger
from course_lib.costs.ends import end_params
from course_lib.costs.mixers.attention import key_value_weights, query_weights
from course_lib.costs.mixers.dispatch import mixer_params, mixer_part, mixer_weights
from course_lib.costs.mixers.latent import down_weights
from course_lib.costs.params import layer_params, param_count
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    JointSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LayerSpec,
    LightningSpec,
    Mixer,
    ModelSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_record

SPLITS = ("heads", "requests")
"""What the devices split: the heads (tensor parallelism) or the requests."""


SHARED = {
    AttentionSpec: "KV heads",
    LatentAttentionSpec: "latents",
    SSMSpec: "states",
    RWKVSpec: "states",
    GatedDeltaNetSpec: "states",
    KimiDeltaSpec: "states",
    LightningSpec: "states",
    RGLRUSpec: "states",
    ShortConvSpec: "states",
    RNNSpec: "states",
    JointSpec: "KV heads",
}
"""What the heads of a mixer share, and a device therefore holds whole."""


def attention_of(mixer: Mixer) -> Mixer:
    """The attention of a mixer that has a state space beside it; any other as it is."""
    return mixer.attention if isinstance(mixer, JointSpec) else mixer


def check_split(split: str) -> None:
    """Refuse any word but those of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: one of {', '.join(SPLITS)} is allowed")


def held_kv_heads(kv_heads: Number, devices: Number) -> Number:
    """KV heads that each device keeps when the heads are split: max(G / D, 1).

    Raises: ValueError if a count is no whole number of at least 1, or neither of the
        two divides the other.

    >>> [held_kv_heads(8, devices) for devices in (1, 2, 8, 16)]
    [8, 4, 1, 1]
    """
    check_count(kv_heads=kv_heads, devices=devices)
    if is_symbol(kv_heads) or is_symbol(devices):
        return larger(kv_heads / devices, 1)
    if kv_heads % devices and devices % kv_heads:
        raise ValueError(
            f"devices={devices} with heads split: a divisor or a multiple of "
            f"kv_heads={kv_heads} is allowed"
        )
    return max(kv_heads // devices, 1)


def kv_copies(kv_heads: Number, devices: Number) -> Number:
    """Devices that hold the same KV head: max(D / G, 1); errors as above.

    >>> [kv_copies(4, devices) for devices in (1, 4, 8)]
    [1, 1, 2]
    """
    held_kv_heads(kv_heads, devices)
    if is_symbol(kv_heads) or is_symbol(devices):
        return larger(devices / kv_heads, 1)
    return max(devices // kv_heads, 1)


def on_one_device(spec: ModelSpec, devices: Number) -> ModelSpec:
    """The model as the cache of one device sees it when the heads are split: with the
    KV heads that the device keeps, and latents and states whole.

    Returns: a model for the functions of `costs.cache`, and for no others.
    Raises: ValueError as `held_kv_heads` does.

    >>> from course_lib.costs.cache import cache_bytes_per_token
    >>> from course_lib.specs.loader import load_spec
    >>> for name in ("llama-3-70b", "deepseek-v3"):
    ...     spec = load_spec(name)
    ...     share = on_one_device(spec, devices=8)
    ...     cache_bytes_per_token(spec), cache_bytes_per_token(share)
    (327680, 40960)
    (70272, 70272)
    """
    check_count(devices=devices)
    if not is_symbol(devices) and devices == 1:
        return spec
    kinds: dict[LayerSpec, Number] = {}
    for layer, count in unique_layers(spec.layers):
        cross = layer.cross and _held(layer.cross, devices)
        kept = replace(layer, mixer=_held(layer.mixer, devices), cross=cross)
        kinds[kept] = kinds.get(kept, 0) + count
    if isinstance(spec.layers, tuple):
        return replace(
            spec, layers=tuple(k for k, n in kinds.items() for _ in range(n))
        )
    return replace(spec, layers=MappingProxyType(kinds))


def _held(mixer: Mixer, devices: Number) -> Mixer:
    if of_record("mixer", mixer, SHARED) != "KV heads":
        return mixer
    if isinstance(mixer, JointSpec):
        return replace(mixer, attention=_held(mixer.attention, devices))
    return replace(mixer, kv_heads=held_kv_heads(mixer.kv_heads, devices))


def splits_evenly(spec: ModelSpec, devices: int, split: str = "heads") -> bool:
    """Whether every KV head count divides the devices or is divided by them.

    >>> from course_lib.specs.loader import load_spec
    >>> [n for n in range(1, 13) if splits_evenly(load_spec("qwen2.5-7b"), n)]
    [1, 2, 4, 8, 12]
    """
    check_split(split)
    mixers = [attention_of(layer.mixer) for layer, _ in unique_layers(spec.layers)]
    mixers += [layer.cross for layer, _ in unique_layers(spec.layers) if layer.cross]
    mixers += [layer.mixer for layer, _ in unique_layers(spec.encoder)]
    heads = {mixer.kv_heads for mixer in mixers if isinstance(mixer, AttentionSpec)}
    fits = (not (g % devices and devices % g) for g in heads)
    return split == "requests" or all(fits)


def device_params(
    spec: ModelSpec, devices: Number = 1, *, split: str = "heads"
) -> Number:
    """Parameters that one device holds.

    *Equation*: (P + extra) / D, with `extra_params` held beyond the first copy.

    Args: `devices` D that serve one copy of the model; `split` one of `SPLITS`.
    Returns: a count, a fraction where D does not divide it.
    Raises: ValueError if `devices` is no whole number of at least 1, `split` is
        another word, or KV heads and devices do not divide one another.

    >>> from course_lib.specs.loader import load_spec
    >>> spec = load_spec("deepseek-v3")
    >>> [round(device_params(spec, 8, split=s) / 1e9, 1) for s in SPLITS]
    [84.8, 94.0]
    """
    extra = sum(extra_params(spec, devices, split=split).values())
    return (param_count(spec).total + extra) / devices


def extra_params(
    spec: ModelSpec, devices: Number, *, split: str = "heads"
) -> Counter[str]:
    """Parameters that stand on all devices together beyond one copy, by the parts of
    `param_count`.

    *Equation*: n (copies - 1) for n parameters that stand `copies` times: on all D
        devices, or for keys and values on max(D / G, 1).

    Args, raises: as `device_params`.
    """
    check_count(devices=devices)
    check_split(split)
    parts: Counter[str] = Counter()
    for stack in (spec.layers, spec.encoder):
        for layer, count in unique_layers(stack):
            whole = layer_params(layer, spec.width)
            again = {name: whole[name] * (devices - 1) for name in ("norm", "router")}
            again[mixer_part(layer.mixer)] = _again(
                layer.mixer, spec.width, devices, split, mixer_params
            )
            if layer.cross is not None:
                again["cross_attention"] = _again(
                    layer.cross, spec.width, devices, split, mixer_params
                )
            for part, number in again.items():
                parts[part] += count * number
    parts["norm"] += end_params(spec)["norm"] * (devices - 1)
    return Counter({part: number for part, number in parts.items() if number != 0})


def _again(mixer: Mixer, width: Number, devices: Number, split: str, counted) -> Number:
    """Numbers of one mixer beyond the first copy; `counted` gives all of it."""
    if split == "requests":
        return counted(mixer, width) * (devices - 1)
    shared = of_record("mixer", mixer, SHARED)
    if shared == "KV heads":
        attention = attention_of(mixer)
        copies = kv_copies(attention.kv_heads, devices)
        return key_value_weights(attention, width) * (copies - 1)
    return down_weights(mixer, width) * (devices - 1) if shared == "latents" else 0


def extra_weights_read(
    spec: ModelSpec, devices: Number, *, split: str = "heads", prefill: bool = False
) -> Number:
    """Matrix weights that a pass reads on all devices together beyond one copy: what
    `extra_params` holds, without vectors, and without what the pass does not read.

    Args: `prefill` whether the source of an encoder-decoder is encoded in it; the rest,
        and what is raised, as `device_params`.
    """
    check_count(devices=devices)
    check_split(split)
    read = 0
    for stack in (spec.layers, spec.encoder) if prefill else (spec.layers,):
        for layer, count in unique_layers(stack):
            router = layer_params(layer, spec.width)["router"]
            again = router * (devices - 1)
            again += _again(layer.mixer, spec.width, devices, split, mixer_weights)
            if layer.cross is not None:
                again += _cross_again(layer.cross, spec.width, devices, split, prefill)
            read += count * again
    return read


def _cross_again(
    cross: AttentionSpec, width: Number, devices: Number, split: str, prefill: bool
) -> Number:
    if split == "requests":
        met = query_weights(cross, width) + prefill * key_value_weights(cross, width)
        return met * (devices - 1)
    copies = kv_copies(cross.kv_heads, devices) - 1
    return prefill * key_value_weights(cross, width) * copies


def busiest_batch(batch: Number, devices: Number, split: str) -> Number:
    """Sequences of a batch that the busiest device serves: all of them with heads
    split, ceil(batch / D) with requests split.

    >>> busiest_batch(9, devices=8, split="heads"), busiest_batch(9, 8, "requests")
    (9, 2)
    """
    check_split(split)
    if split == "heads":
        return batch
    if is_symbol(batch) or is_symbol(devices):
        from sympy import ceiling

        return ceiling(batch / devices)
    return -(-batch // devices)
