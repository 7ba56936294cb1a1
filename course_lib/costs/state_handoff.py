"""A long sequence cut over devices: what a recurrent layer sends from each to the next,
in bytes and seconds.

Symbols: D devices, b batch, w tokens under a convolution; S bytes of a state, P bytes
of what says how much of an earlier state is left. A device has its share of the tokens,
whose layer takes it some seconds.

                   messages in a row         of bytes   work in a row
    in turn        D - 1                     S          D passes
    in two steps   1 + ceil(log2(D - 1))     S + P      2 passes

The bytes do not grow with the text. Ring attention sends keys and values of every token
D - 1 times instead.

Source: `parallel.state_line` and `parallel.state_prefix`, whose messages are counted.

Terms:
    bytes of a state hand-off: what a cache keeps of a layer between two steps is what a
        device sends the next -> handed_bytes
"""

from course_lib.costs.arithmetic import (
    Number,
    check_count,
    check_not_negative,
    check_positive,
)
from course_lib.costs.collectives import Link, Traffic, point_to_point
from course_lib.costs.mixers.dispatch import state_elements
from course_lib.specs.records import Mixer


def handed_bytes(
    mixer: Mixer,
    width: Number,
    *,
    batch: Number = 1,
    bytes_per_element: Number = 2,
    state_bytes_per_element: Number = 4,
) -> Number:
    """Bytes of one layer's message: its accumulators, and the last inputs of its
    convolution or token shift.

    Args: `mixer` of the layer; `width` of the model; `batch` sequences;
        `bytes_per_element` of last inputs; `state_bytes_per_element` of accumulators.
    Raises: ValueError if the mixer keeps no state, `batch` is no whole number of at
        least 1, or a byte width is not above 0.

    >>> from course_lib.specs.loader import load_spec
    >>> spec = load_spec("mamba2-2.7b")
    >>> handed_bytes(spec.layers[0].mixer, spec.width) / 2**20
    2.541015625
    """
    check_count(batch=batch)
    check_positive(
        bytes_per_element=bytes_per_element,
        state_bytes_per_element=state_bytes_per_element,
    )
    sums, inputs = state_elements(mixer, width)
    if not sums and not inputs:
        raise ValueError(
            f"mixer={type(mixer).__name__}: allowed is a mixer that keeps a state"
        )
    return batch * (sums * state_bytes_per_element + inputs * bytes_per_element)


def border_bytes(
    channels: Number, conv: Number, *, batch: Number = 1, bytes_per_element: Number = 2
) -> Number:
    """Bytes of the border columns of a causal convolution alone: b channels (w - 1).

    Raises: ValueError if a count is no whole number of at least 1, or
        `bytes_per_element` is not above 0.

    >>> border_bytes(channels=5376, conv=4) / 1024
    31.5
    """
    check_count(channels=channels, conv=conv, batch=batch)
    check_positive(bytes_per_element=bytes_per_element)
    return batch * channels * (conv - 1) * bytes_per_element


def in_turn_traffic(state_bytes: Number, devices: int) -> Traffic:
    """The messages of a state from device to device, all of them in a row.

    Raises: ValueError if `devices` is no whole number of at least 1, or `state_bytes`
        is not above 0.

    >>> in_turn_traffic(100, devices=4)
    Traffic(sent_bytes=300, hops=3)
    """
    check_count(devices=devices)
    return point_to_point(state_bytes).times(devices - 1)


def rounds(devices: int) -> int:
    """Messages in a row of the prefix over devices: one to the neighbour, then to
    neighbours at distances 1, 2, 4, ...

    >>> [rounds(devices) for devices in (1, 2, 3, 4, 5, 8, 64)]
    [0, 1, 2, 3, 3, 4, 7]
    """
    check_count(devices=devices)
    return 1 + (devices - 2).bit_length() if devices > 1 else 0


def two_step_traffic(
    state_bytes: Number, transition_bytes: Number, devices: int
) -> Traffic:
    """The messages of the prefix in a row, which are those that the first device sends.

    Raises: ValueError if `devices` is no whole number of at least 1, or a size is not
        above 0.

    >>> two_step_traffic(100, transition_bytes=10, devices=4)
    Traffic(sent_bytes=330, hops=3)
    """
    check_positive(state_bytes=state_bytes, transition_bytes=transition_bytes)
    return point_to_point(state_bytes + transition_bytes).times(rounds(devices))


def sent_in_all(devices: int) -> int:
    """Messages of the prefix over all devices together.

    >>> [sent_in_all(devices) for devices in (2, 4, 8)]
    [1, 8, 24]
    """
    reaches = [1, *(2**turn for turn in range(rounds(devices) - 1))]
    return sum(devices - reach for reach in reaches)


def in_turn_seconds(
    pass_s: Number, state_bytes: Number, devices: int, link: Link
) -> Number:
    """Until the last device is done, if each waits for the one before it.

    Args: `pass_s` of one device's tokens through the layer.
    Raises: ValueError as `in_turn_traffic`, or if `pass_s` is below 0.

    >>> in_turn_seconds(2.0, 100, devices=4, link=Link(100.0, latency_s=0.5))
    12.5
    """
    check_not_negative(pass_s=pass_s)
    traffic = in_turn_traffic(state_bytes, devices)
    return devices * pass_s + traffic.seconds(link)


def two_step_seconds(
    pass_s: Number,
    state_bytes: Number,
    transition_bytes: Number,
    devices: int,
    link: Link,
) -> Number:
    """Until all devices are done, if each first sums up its own tokens, which is taken
    to cost a whole pass.

    >>> two_step_seconds(2.0, 90, 10, devices=4, link=Link(100.0, latency_s=0.5))
    8.5
    """
    check_not_negative(pass_s=pass_s)
    traffic = two_step_traffic(state_bytes, transition_bytes, devices)
    return 2 * pass_s + traffic.seconds(link)
