"""Public measurements as shares of their bound: a row for each device, a mark for each
figure, the bound at the right edge.
"""

from course_lib.costs.hardware import list_hardware
from course_lib.costs.measured import measured_on, reached
from course_lib.course.beside import GROUPS, group_shares, range_text
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen, number

LEFT, RIGHT, TOP, ROW = 106, 326, 66, 27
LOOKS = {
    "first token": ("ffn", "arithmetic"),
    "step or request": ("attn", "bandwidth"),
    "output rate": ("norm", "both"),
    "cached tokens": ("state", "memory"),
}


def draw() -> Figure:
    """One panel."""
    devices = [name for name in list_hardware() if measured_on(name)]
    pen, end = Pen(), TOP + ROW * len(devices)
    for i, group in enumerate(GROUPS):
        x, y = 8 + 166 * (i % 2), 14 + 18 * (i // 2)
        _mark(pen, group, x + 5, y - 4)
        pen.text(x + 15, y, f"{group}: {LOOKS[group][1]}", "s")
    for share in (0, 25, 50, 75):
        at = _across(share / 100)
        line(pen, (at, TOP - 8), (at, end), cls="e", under=True)
        pen.text(at, TOP - 12, f"{share} %", "s", "middle")
    line(pen, (RIGHT, TOP - 8), (RIGHT, end), under=True)
    pen.text(RIGHT + 8, TOP - 12, "bound", "s", "end")
    for i, device in enumerate(devices):
        _device(pen, device, TOP + ROW * i)
    return Figure(Panel("Shares of the bound by device", _told(devices), pen, end + 4))


def _across(share: float) -> float:
    return LEFT + (RIGHT - LEFT) * share


def _device(pen: Pen, device: str, y: float) -> None:
    """The marks of a device, a lane for each group."""
    pen.text(LEFT - 8, y + 17, device, "s", "end")
    line(pen, (LEFT, y), (RIGHT, y), cls="e", under=True)
    for row in measured_on(device):
        group = next(name for name, kinds in GROUPS.items() if row.quantity in kinds)
        lane = y + 5 + 5.5 * list(GROUPS).index(group)
        _mark(pen, group, _across(reached(row)), lane)


def _mark(pen: Pen, group: str, x: float, y: float) -> None:
    """A triangle, a circle, a square or a diamond."""
    cls = f"k {LOOKS[group][0]}"
    if group == "step or request":
        return pen.circle(x, y, 3, cls)
    if group == "output rate":
        return pen.rect(x - 2.8, y - 2.8, 5.6, 5.6, cls, 0)
    points = [(0, -3.6), (3.6, 0), (0, 3.6), (-3.6, 0)]
    if group == "first token":
        points = [(0, -3.4), (3.6, 2.8), (-3.6, 2.8)]
    path = "L".join(f"{number(x + dx)} {number(y + dy)}" for dx, dy in points)
    return pen.path(f"M{path}Z", cls)


def _told(devices: list[str]) -> str:
    shares = group_shares()
    rows = []
    for device in devices:
        found = [
            f"{group} {range_text(shares[group][device])}"
            for group in GROUPS
            if device in shares[group]
        ]
        rows.append(f"{device}: {', '.join(found)}")
    return (
        "What engines reached of the bound, lowest to highest, with the number of "
        f"figures in brackets. {'. '.join(rows)}."
    )
