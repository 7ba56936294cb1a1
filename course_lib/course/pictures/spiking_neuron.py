"""A leaky integrate-and-fire neuron: inputs raise its membrane, which leaks, and it
sends a spike each time that the membrane passes the threshold.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars
from course_lib.layers.spiking.lif import lif_naive

BETA, THRESHOLD = 0.8, 1.0
INPUTS = [0.5, 0.5, 0.5, 0.0, 0.0, 0.9, 0.5, 0.0, 0.0, 0.0, 0.0, 0.6, 0.6, 0.0]
LEFT, STEP, UNIT = 76, 18, 44
ROWS = {"input": 84, "membrane": 162, "spikes": 204}


def draw() -> Figure:
    """Inputs, membrane and spikes over time."""
    pen = Pen()
    spikes, membranes = lif_naive(INPUTS, BETA, THRESHOLD)
    pen.text(4, 15, "A neuron that counts and fires", "H")
    pen.text(4, 33, f"of the membrane {BETA:.0%} is left after a step", "s m")
    for name, base in ROWS.items():
        pen.text(4, base - 4, name, "B")
    bars(pen, LEFT, ROWS["input"], STEP, INPUTS, UNIT, "p emb", gap=5)
    bars(
        pen,
        LEFT,
        ROWS["membrane"],
        STEP,
        membranes,
        UNIT,
        lambda i: "p diff" if spikes[i] else "p state",
        gap=5,
    )
    y, right = ROWS["membrane"] - UNIT * THRESHOLD, LEFT + STEP * len(INPUTS)
    line(pen, (LEFT, y), (right, y), cls="u d diff")
    pen.text(4, y + 4, "threshold", "s m")
    for i, spike in enumerate(spikes):
        x = LEFT + (i + 0.5) * STEP
        if spike:
            line(pen, (x, ROWS["spikes"] - 16), (x, ROWS["spikes"]), cls="u diff")
    line(pen, (LEFT, ROWS["spikes"]), (right, ROWS["spikes"]), cls="o")
    pen.text(right, ROWS["spikes"] + 15, "time steps", "s m", "end")
    count = sum(spikes)
    words = f"{count} events in {len(INPUTS)} steps"
    pen.text(4, ROWS["spikes"] + 32, words, "B")
    said = (
        "Inputs raise a membrane that leaks. Above the threshold it sends an event, "
        f"and at the next step the threshold is taken off: {words}."
    )
    return Figure(Panel("A spiking neuron", said, pen, ROWS["spikes"] + 40))
