"""Events against multiply-adds: what a layer of spiking neurons computes, and what the
dense layer of the same shape does. Operations are counted, no energy.

Symbols: m inputs, n neurons, T steps, r rate of events an input and step.

    dense     m n multiply-adds, once an input
    spiking   r m n T additions for events, and 2 n T operations for leak and threshold,
              which are done whether there are events or not

An event saves a multiplication, and a processor that can skip what sends none; on one
that cannot, all m n T are done. Reading the weights costs more than either in most
machines, and these counts do not hold it.

Source: for the caveats, Eshraghian et al. 2021, arXiv:2109.12894; with movement of data
counted, Yan et al. 2024, arXiv:2409.08290.

Terms:
    events against MACs, synaptic operations: additions for spikes beside multiply-adds
        of a dense layer -> synaptic_operations, dense_macs
    break-even rate: the rate of spikes at which both cost the same ->
        break_even_rate
"""

from course_lib.costs.arithmetic import Number, check_not_negative, check_positive


def dense_macs(inputs: int, neurons: int) -> Number:
    """Multiply-adds of a dense layer for one input: m n.

    >>> dense_macs(inputs=100, neurons=10)
    1000
    """
    check_positive(inputs=inputs, neurons=neurons)
    return inputs * neurons


def synaptic_operations(inputs: int, neurons: int, steps: int, rate: Number) -> Number:
    """Additions that events cause: r m n T.

    >>> synaptic_operations(inputs=100, neurons=10, steps=5, rate=0.1)
    500.0
    """
    check_positive(inputs=inputs, neurons=neurons, steps=steps)
    check_not_negative(rate=rate)
    return rate * inputs * neurons * steps


def neuron_operations(neurons: int, steps: int) -> Number:
    """Leak and threshold of each neuron at each step: 2 n T, at any rate."""
    check_positive(neurons=neurons, steps=steps)
    return 2 * neurons * steps


def break_even_rate(
    inputs: int, steps: int, *, addition_cost: Number = 1.0, mac_cost: Number = 1.0
) -> Number:
    """The rate at which a spiking layer costs what the dense one does.

    *Equation*: r = (mac_cost m - 2 addition_cost T) / (addition_cost m T).

    Args: `inputs` m; `steps` T; the costs of one operation each, in any one unit.
    Returns: events an input and step; negative where leak and threshold cost more.

    >>> break_even_rate(inputs=100, steps=5)
    0.18
    """
    check_positive(
        inputs=inputs, steps=steps, addition_cost=addition_cost, mac_cost=mac_cost
    )
    beyond = mac_cost * inputs - 2 * addition_cost * steps
    return beyond / (addition_cost * inputs * steps)
