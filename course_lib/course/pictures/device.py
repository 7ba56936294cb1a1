"""Where the five limits of serving stand: a device, its memory, its links, to scale."""

from course_lib.costs.hardware import load_hardware
from course_lib.costs.serving import weight_bytes
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import paragraph
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec

MODEL, DEVICE = "llama-3.1-8b", "H100-SXM"
NVLINK, PORT = 450e9, 50e9  # bytes per second and direction, as in notebook 00/02
UNITS_PER_TBS = 40  # width of a pipe


def draw() -> Figure:
    """The chip at the top, its memory below, other devices at the right."""
    device, spec = load_hardware(DEVICE), load_spec(MODEL)
    pen = Pen()
    _limit(pen, 8, 10, 1, "Compute", f"{device.peak_flops / 1e12:,.0f} TFLOP/s")
    pen.rect(8, 38, 200, 60, "b attn")
    pen.text(108, 58, "arithmetic units", "T", "middle")
    pen.rect(24, 68, 168, 20, "b", 2)
    pen.text(108, 82, "on-chip memory", "s", "middle")
    _pipe_down(pen, 108, 98, 164, device.bandwidth_bytes_per_s)
    _limit(
        pen, 186, 112, 2, "Bandwidth", f"{device.bandwidth_bytes_per_s / 1e12:.2f} TB/s"
    )
    pen.rect(8, 164, 200, 62, "b")
    share = weight_bytes(spec) / device.memory_bytes
    pen.rect(8, 164, 200 * share, 62, "p norm", 3)
    pen.rect(8 + 200 * share, 164.5, 200 * (1 - share) - 0.5, 61, "x kept", 3)
    paragraph(pen, 18 + 200 * share, 186, ["room for caches"], "T")
    pen.text(18 + 200 * share, 202, f"solid: weights of an 8B, {share:.0%}", "s")
    _limit(pen, 8, 236, 3, "Memory (HBM)", f"{device.memory_bytes / 1e9:.0f} GB")
    _links(pen)
    _positions(pen, 282)
    return Figure(
        Panel(
            "Five limits of serving",
            "Arithmetic units with on-chip memory above, high-bandwidth memory below, "
            "other devices at the side. The pipes between them are as wide as their "
            "bandwidth: memory widest, links inside a node narrow, the network a hair.",
            pen,
            322,
        )
    )


def _limit(pen: Pen, x: float, y: float, number: int, name: str, value: str) -> None:
    """A numbered limit with its name and figure."""
    pen.circle(x + 9, y + 9, 9, "b diff")
    pen.text(x + 9, y + 13, number, "B", "middle")
    pen.text(x + 24, y + 8, name, "T")
    pen.text(x + 24, y + 21, value, "s n")


def _pipe_down(pen: Pen, x: float, y0: float, y1: float, rate: float) -> None:
    wide = rate / 1e12 * UNITS_PER_TBS
    pen.rect(x - wide / 2, y0, wide, y1 - y0, "x attn", 0)
    pen.rect(x - wide / 2, y0, 1.5, y1 - y0, "p attn", 0)
    pen.rect(x + wide / 2 - 1.5, y0, 1.5, y1 - y0, "p attn", 0)


def _links(pen: Pen) -> None:
    """Two pipes out of the device, as wide as their rates."""
    for y, rate, words in ((52, NVLINK, "same node"), (84, PORT, "other nodes")):
        wide = rate / 1e12 * UNITS_PER_TBS
        pen.rect(208, y - wide / 2, 36, wide, "p attn", 0)
        pen.rect(244, y - 12, 90, 24, "b attn")
        pen.text(289, y + 4, words, "s", "middle")
    value = f"{NVLINK / 1e9:.0f}, {PORT / 1e9:.0f} GB/s"
    _limit(pen, 226, 10, 4, "Links", value)


def _positions(pen: Pen, y: float) -> None:
    """A row of positions, of which the last was never trained."""
    _limit(pen, 8, y, 5, "Positions", "as many as were trained")
    for i in range(8):
        pen.rect(186 + i * 18, y, 15, 18, "g" if i > 5 else "b emb", 2)
