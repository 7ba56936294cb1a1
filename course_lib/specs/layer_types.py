"""Windows that a config lists layer by layer (`layer_types`), or states for all, read
for every family of causal attention, whether or not its own parser asks for them.

Engines that serve a model, and the cache of `transformers`, go by these fields wherever
they stand. A parser that reads them itself agrees with them, and is left as it is.
"""

from dataclasses import replace

from course_lib.specs.defaults import TABLE
from course_lib.specs.reader import Config
from course_lib.specs.records import AttentionSpec, LayerSpec, ModelSpec
from course_lib.specs.rotary import LAYER_TYPES

OLD_NAMES = {"attention": "full_attention"}
KNOWN = LAYER_TYPES + ("attention",)  # noqa: RUF005 (translated)
OWN_WINDOWS = ("sliding_window", "use_sliding_window", "local_attention")
"""Fields by which a family reads its own windows, as its config declares them."""


def with_windows(config: Config, spec: ModelSpec) -> ModelSpec:
    """Return the model with the windows that its config lists.

    Raises:
        ValueError: if `layer_types` lists another number of layers than there are, or a
            windowed layer where no `sliding_window` is.
    """
    listed = config.get("layer_types")
    if spec.encoder or not any_causal(spec):
        return spec
    if listed is None:
        window = common_window(config, spec)
        types = [LAYER_TYPES[window is not None] for _ in spec.layers]
        return spec if window is None else relayered(config, spec, types)
    if not isinstance(listed, list | tuple):
        return spec
    types = [OLD_NAMES.get(one, one) for one in listed if isinstance(one, str)]
    if any(one not in LAYER_TYPES for one in types):
        return spec  # kinds of the family's own, which its parser reads
    config.words("layer_types", len(spec.layers), allowed=KNOWN)
    return relayered(config, spec, types)


def any_causal(spec: ModelSpec) -> bool:
    """Whether a stack has causal attention."""
    mixers = [layer.mixer for layer in spec.layers]
    return any(isinstance(one, AttentionSpec) and one.causal for one in mixers)


def common_window(config: Config, spec: ModelSpec) -> int | None:
    """Return the window of a config whose family declares none, None where it has
    none.
    """
    declared = TABLE["fields"].get(config.model_type, {})
    own = any(field in declared for field in OWN_WINDOWS)
    mixers = [layer.mixer for layer in spec.layers]
    has = any(isinstance(one, AttentionSpec) and one.window for one in mixers)
    if own or has or not config.flag("use_sliding_window", True):
        return None
    return config.count("sliding_window", None)


def relayered(config: Config, spec: ModelSpec, types: list[str]) -> ModelSpec:
    """Return the model whose layers see a window where `types` says so."""
    layers = [
        relayer(config, layer, kind == LAYER_TYPES[1])
        for layer, kind in zip(spec.layers, types, strict=True)
    ]
    return replace(spec, layers=tuple(layers))


def relayer(config: Config, layer: LayerSpec, windowed: bool) -> LayerSpec:
    """Return a layer that sees a window or everything; one that does so already, and
    one that is no attention, is left.
    """
    mixer = layer.mixer
    if not isinstance(mixer, AttentionSpec) or (mixer.window is not None) == windowed:
        return layer
    if windowed and not config.flag("use_sliding_window", True):
        return layer
    window = config.count("sliding_window") if windowed else None
    return replace(layer, mixer=replace(mixer, window=window))
