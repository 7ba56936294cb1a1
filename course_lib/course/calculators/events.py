"""Calculator of events against multiply-adds: at which rate of spikes a layer of
spiking neurons computes as much as a dense one.
"""

from collections.abc import Mapping

import sympy

from course_lib.costs.arithmetic import larger
from course_lib.costs.spikes import (
    break_even_rate,
    dense_macs,
    neuron_operations,
    synaptic_operations,
)
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)


def event_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """Both layers in additions, their ratio, and the rate at which they are equal."""
    m, n, steps = s["layer_inputs"], s["neurons"], s["time_steps"]
    dense = Line(
        name="dense",
        letter=r"\text{dense}",
        value=s["mac_cost"] * dense_macs(m, n),
        unit="number",
        label="Dense layer, in additions",
    )
    events = Line(
        name="events",
        letter=r"\text{events}",
        value=synaptic_operations(m, n, steps, s["event_rate"]),
        unit="number",
        label="Additions for events",
    )
    upkeep = Line(
        name="upkeep",
        letter=r"\text{upkeep}",
        value=neuron_operations(n, steps),
        unit="number",
        label="Leak and threshold",
    )
    spiking = Line(
        name="spiking",
        letter=r"\text{spiking}",
        value=events.symbol + upkeep.symbol,
        unit="number",
        label="Spiking layer",
    )
    rate = break_even_rate(m, steps, addition_cost=1, mac_cost=s["mac_cost"])
    even = Line(
        name="even_rate",
        letter="r^{*}",
        value=larger(0, rate),
        unit="share",
        label="Rate at which both are equal",
    )
    times = Line(
        name="times",
        letter="",
        value=spiking.symbol / dense.symbol,
        unit="number",
        printed=False,
    )
    one = Line(
        name="always", letter="", value=sympy.Integer(1), unit="share", printed=False
    )
    return dense, events, upkeep, spiking, even, times, one


def even_rate(spec: None, v: Mapping[str, float]) -> float:
    """The rate by `break_even_rate`; 0 where leak and threshold alone cost more."""
    rate = break_even_rate(v["layer_inputs"], v["time_steps"], mac_cost=v["mac_cost"])
    return max(0, rate)


EVENTS_AGAINST_MACS = Calculator(
    name="events-against-macs",
    title="Events against multiply-adds",
    question="At which rate of events does a spiking layer compute as much as a dense "
    "one?",
    inputs=("layer_inputs", "neurons", "time_steps", "event_rate", "mac_cost"),
    defaults={
        "layer_inputs": 2048,
        "neurons": 512,
        "time_steps": 16,
        "event_rate": 0.05,
    },
    lines=event_lines,
    by_function=even_rate,
    answer="even_rate",
    plot=Plot(
        x="time_steps",
        low=1,
        high=1000,
        series=(Series("spiking", "spiking layer"), Series("dense", "dense layer")),
        caption="Additions of a spiking layer, and of a dense one, against the steps "
        "for one input",
        crossing=Crossing(
            a="spiking",
            b="dense",
            label="equal",
            found="From {x} steps on, the spiking layer computes as much as the dense "
            "one, and more.",
            never="Up to {high} steps the spiking layer computes less.",
            always="The spiking layer computes more at any number of steps.",
        ),
    ),
    findings=(
        Finding(
            text="Leak and threshold alone cost more than the dense layer: {upkeep} "
            "against {dense}. No rate is low enough.",
            a="upkeep",
            b="dense",
        ),
        Finding(
            text="Even if every input fired at every step, the spiking layer would "
            "compute less.",
            a="even_rate",
            b="always",
        ),
        Finding(
            text="The spiking layer computes less while fewer than {even_rate} of its "
            "inputs fire at a step. Now it computes {times} times what the dense layer "
            "does. The chip has to skip inputs that do not fire, and reading weights "
            "is not counted."
        ),
    ),
    worked=(
        {},
        {"mac_cost": 5},
        {"time_steps": 5},
        {"time_steps": 64},
        {"layer_inputs": 16},
    ),
)
