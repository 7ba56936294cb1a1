"""Cache of a hybrid: keys and values of the layers that attend, states of the others,
and what the same stack would keep if every layer attended.

Symbols: b batch, n tokens, L_a layers that attend, L_s layers that keep a state, c
bytes that a token adds to one layer that attends, s bytes of one state.

    M(n) = b (L_a c n + L_s s)

A layer of two kinds of heads side by side (Falcon-H1) is among both. At long texts the
first term is everything, and it falls with each layer that stops attending.

Terms:
    hybrid cache, cache of a hybrid: what layers that attend keep of a text, and layers
        with a state beside it -> attending_bytes, everywhere_bytes
"""

from course_lib.costs.arithmetic import Number, check_count, check_positive, round_up
from course_lib.costs.cache import cached_tokens, decoding_layers
from course_lib.costs.mixers.dispatch import state_elements, token_elements
from course_lib.costs.state_or_cache import state_bytes
from course_lib.specs.records import LayerSpec, ModelSpec, window_of


def attending_layers(spec: ModelSpec) -> Number:
    """How many layers keep something of every token, or of a window.

    >>> from course_lib.specs.loader import load_spec
    >>> attending_layers(load_spec("jamba-v0.1"))
    4
    """
    return sum(count for _, count in _attending(spec))


def attending_bytes(
    spec: ModelSpec, *, batch: Number, tokens: Number, bytes_per_element: Number = 2
) -> Number:
    """Bytes of keys and values, or latents, of the layers that attend.

    *Equation*: b L_a c n; a window holds its last w - 1 tokens.

    Raises: ValueError if a count is no whole number of at least 1, or
        `bytes_per_element` is not above 0.

    >>> from course_lib.specs.loader import load_spec
    >>> attending_bytes(load_spec("jamba-v0.1"), batch=1, tokens=262144) / 2**30
    4.0
    """
    check_count(batch=batch, tokens=tokens)
    check_positive(bytes_per_element=bytes_per_element)
    elements = sum(
        count * kept_elements(layer, tokens) for layer, count in _attending(spec)
    )
    return batch * elements * bytes_per_element


def everywhere_bytes(
    spec: ModelSpec, *, batch: Number, tokens: Number, bytes_per_element: Number = 2
) -> Number:
    """The same if attention stood in the place of every state, of the kind that keeps
    most among the layers that attend.

    *Equation*: b (L_a + L_s) c n.

    Raises: ValueError as `attending_bytes`, and if no layer attends.

    >>> from course_lib.specs.loader import load_spec
    >>> everywhere_bytes(load_spec("jamba-v0.1"), batch=1, tokens=262144) / 2**30
    32.0
    """
    own = attending_bytes(
        spec, batch=batch, tokens=tokens, bytes_per_element=bytes_per_element
    )
    instead = kept_elements(_widest(spec), tokens) * bytes_per_element
    return own + batch * _states_alone(spec) * instead


def equal_tokens(
    spec: ModelSpec,
    *,
    bytes_per_element: Number = 2,
    state_bytes_per_element: Number = 4,
) -> Number:
    """The least length at which keys and values take as many bytes as the states, in a
    stack without windows.

    *Equation*: L_s s / (L_a c), rounded up.

    Raises: ValueError if no layer attends, or one of them has a window.

    >>> from course_lib.specs.loader import load_spec
    >>> equal_tokens(load_spec("jamba-v0.1"))
    1008
    """
    if window_of(_widest(spec).mixer) is not None:
        raise ValueError(f"spec={spec.name!r}: allowed is a model without windows")
    states = state_bytes(
        spec,
        bytes_per_element=bytes_per_element,
        state_bytes_per_element=state_bytes_per_element,
    )
    per_token = attending_bytes(
        spec, batch=1, tokens=1, bytes_per_element=bytes_per_element
    )
    return round_up(states / per_token)


def kept_elements(layer: LayerSpec, tokens: Number) -> Number:
    """Numbers that a layer keeps of a text of so many tokens, beside its state."""
    return token_elements(layer.mixer) * cached_tokens(layer.mixer, tokens)


def _attending(spec: ModelSpec) -> list[tuple[LayerSpec, Number]]:
    return [
        (layer, count)
        for layer, count in decoding_layers(spec)
        if token_elements(layer.mixer)
    ]


def _widest(spec: ModelSpec) -> LayerSpec:
    """The first kind of layer that attends to everything, else the first that attends
    at all.
    """
    layers = [layer for layer, _ in _attending(spec)]
    if not layers:
        raise ValueError(f"spec={spec.name!r}: allowed is a model with attention")
    return next((one for one in layers if window_of(one.mixer) is None), layers[0])


def _states_alone(spec: ModelSpec) -> Number:
    return sum(
        count
        for layer, count in decoding_layers(spec)
        if any(state_elements(layer.mixer, spec.width))
        and not token_elements(layer.mixer)
    )
