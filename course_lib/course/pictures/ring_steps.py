"""Ring attention: queries stay, keys and values go round; what each device computes in
each step under a causal mask, with texts cut in runs and in stripes.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen

DEVICES, OWN = 4, 4  # tokens on a device
LEFT, TOP, WIDE, TALL = 62, 62, 54, 24


def holds(device: int, step: int) -> int:
    """Whose keys and values a device has in a step."""
    return (device - step) % DEVICES


def token(device: int, i: int, striped: bool) -> int:
    """The place in the text of a device's i-th token."""
    return i * DEVICES + device if striped else device * OWN + i


def pairs(device: int, step: int, striped: bool) -> int:
    """Pairs of query and key that the causal mask leaves in this step."""
    other = holds(device, step)
    return sum(
        token(other, j, striped) <= token(device, i, striped)
        for i in range(OWN)
        for j in range(OWN)
    )


def waits_for(striped: bool) -> int:
    """Pairs that the slowest device computes, summed over the steps."""
    return sum(
        max(pairs(device, step, striped) for device in range(DEVICES))
        for step in range(DEVICES)
    )


def draw() -> Figure:
    """Two tables: rows are devices, columns steps."""
    return Figure(_panel("Runs", False), _panel("Stripes", True))


def _panel(title: str, striped: bool) -> Panel:
    pen = Pen()
    pen.text(4, 15, title, "H")
    own = [token(1, i, striped) for i in range(OWN)]
    words = ", ".join(map(str, own))
    pen.text(4, 31, f"device 1 holds tokens {words}", "m")
    for step in range(DEVICES):
        x = LEFT + (step + 0.5) * WIDE
        pen.text(x, TOP - 6, f"step {step + 1}", "s m", "middle")
        most = max(pairs(device, step, striped) for device in range(DEVICES))
        for device in range(DEVICES):
            count = pairs(device, step, striped)
            top = TOP + device * TALL
            x0 = LEFT + step * WIDE
            cls = "x attn"
            pen.rect(x0, top, WIDE - 3, TALL - 3, "e", 2)
            if count:
                pen.rect(x0, top, (WIDE - 3) * count / OWN**2, TALL - 3, cls, 2)
            said = f"KV {holds(device, step)}: {count}"
            pen.text(x0 + (WIDE - 3) / 2, top + 14, said, "s", "middle")
        pen.text(x, TOP + DEVICES * TALL + 11, str(most), "s B", "middle")
    for device in range(DEVICES):
        pen.text(LEFT - 6, TOP + device * TALL + 14, f"device {device}", "s", "end")
    low = TOP + DEVICES * TALL + 11
    pen.text(LEFT - 6, low, "slowest", "s B", "end")
    total = waits_for(striped)
    pen.text(336, low, f"= {total}", "s B", "end")
    n = DEVICES * OWN
    even = n * (n + 1) // 2 / DEVICES
    said = (
        f"Device 1 holds tokens {words}. The slowest device of each step computes "
        f"{total} pairs in all; shared evenly it would be {even:.0f}."
    )
    return Panel(f"Ring attention, {title.lower()}", said, pen, low + 8)
