"""What three passes wait for: arithmetic beside bytes, to scale, from the roofline."""

from course_lib.costs.hardware import load_hardware
from course_lib.costs.roofline import decode_work, prefill_work
from course_lib.costs.work import Work
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend, line
from course_lib.kit.diagrams.pen import WIDTH, Pen
from course_lib.specs.loader import load_spec

MODEL, DEVICE = "llama-3.1-8b", "H100-SXM"
PROMPT, CONTEXT, MANY = 512, 2048, 64
LEFT, UNITS_PER_MS = 10, 31
Times = tuple[float, float, float]  # ms: arithmetic, weights, cache


def draw() -> Figure:
    """Three passes under one another, two bars each, and a scale of milliseconds."""
    spec = load_spec(MODEL)
    passes = {
        f"Prefill: {PROMPT} tokens of a prompt": prefill_work(spec, PROMPT),
        "Decode: 1 token for 1 request": decode_work(spec, context=CONTEXT),
        f"Decode: 1 token for each of {MANY} requests": decode_work(
            spec, context=CONTEXT, batch=MANY
        ),
    }
    pen, y, said = Pen(), 8.0, []
    for name, work in passes.items():
        times = _milliseconds(work)
        y = _pass(pen, y, name, times)
        limit = "arithmetic" if times[0] > sum(times[1:]) else "memory"
        said.append(f"{name} waits for {limit}.")
    y = _scale(pen, y)
    entries = [("p attn", "arithmetic"), ("p norm", "reading weights")]
    y += legend(pen, LEFT, y, [*entries, ("p kept", "cache")], 3)
    return Figure(Panel("What a pass waits for", " ".join(said), pen, y))


def _milliseconds(work: Work) -> Times:
    device = load_hardware(DEVICE)
    bytes_per_ms = device.bandwidth_bytes_per_s / 1000
    return (
        1000 * work.flops / device.peak_flops,
        2 * work.weights_read / bytes_per_ms,
        work.cache_bytes / bytes_per_ms,
    )


def _pass(pen: Pen, y: float, name: str, times: Times) -> float:
    compute, weights, cache = times
    pen.text(LEFT, y + 11, name, "T")
    for top, longest, ms in (
        (y + 20, compute > weights + cache, compute),
        (y + 40, compute <= weights + cache, weights + cache),
    ):
        words = f"{ms:.1f} ms" if ms >= 0.1 else f"{ms:.2f} ms"
        at = LEFT + max(ms * UNITS_PER_MS, 1.5) + 5
        if at > WIDTH - 50:
            pen.text(at - 10, top - 4, words, "B" if longest else "", "end")
        else:
            pen.text(at, top + 12, words, "B" if longest else "")
    pen.rect(LEFT, y + 20, max(compute * UNITS_PER_MS, 1.5), 16, "p attn", 0)
    pen.rect(LEFT, y + 40, weights * UNITS_PER_MS, 16, "p norm", 0)
    left = LEFT + weights * UNITS_PER_MS + 1
    pen.rect(left, y + 40, max(cache * UNITS_PER_MS, 1.5), 16, "p kept", 0)
    return y + 76


def _scale(pen: Pen, y: float) -> float:
    """Ticks at whole milliseconds."""
    line(pen, (LEFT, y), (LEFT + 10 * UNITS_PER_MS, y))
    for ms in range(0, 11, 2):
        x = LEFT + ms * UNITS_PER_MS
        line(pen, (x, y), (x, y + 4))
        pen.text(x, y + 15, f"{ms} ms" if ms == 10 else ms, "m s n", "middle")
    return y + 26
