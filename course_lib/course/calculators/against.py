"""What several calculators plot against: the context, and the memory of the devices."""

from course_lib.course.calculators.definition import (
    Crossing,
    Line,
    Plot,
    Series,
    Symbols,
)

CONTEXTS = (1024, 4_194_304)


def against_context(*series: Series, caption: str, crossing: Crossing) -> Plot:
    """A plot of lines against the context."""
    return Plot(
        x="tokens",
        low=CONTEXTS[0],
        high=CONTEXTS[1],
        series=series,
        caption=caption,
        crossing=crossing,
    )


def memory_line(s: Symbols) -> Line:
    """The line "node": the memory of all devices."""
    return Line(
        name="node",
        letter=r"\text{memory}",
        value=s["devices"] * s["memory_bytes"],
        unit="bytes",
        label="Memory of the devices",
        printed=False,
    )


def device_line(s: Symbols) -> Line:
    """The line "node": the memory of each device."""
    return Line(
        name="node",
        letter=r"\text{memory}",
        value=s["memory_bytes"],
        unit="bytes",
        label="Memory of a device",
        printed=False,
    )


def against_memory(
    line: str,
    legend: str,
    *,
    caption: str,
    found: str,
    never: str,
    always: str,
    limit: str = "memory of the devices",
) -> Plot:
    """A plot of one line of bytes against the context, with the line "node" as its
    limit, a memory.
    """
    return against_context(
        Series(line, legend),
        Series("node", limit),
        caption=caption,
        crossing=Crossing(
            a=line,
            b="node",
            label="memory full",
            found=found,
            never=never,
            always=always,
        ),
    )
