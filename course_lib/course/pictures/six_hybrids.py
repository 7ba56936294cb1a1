"""Six published hybrids, a column each: which layers attend and which keep a state, and
what each keeps of a text.
"""

from course_lib.costs.cache import cache_line
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import WIDTH, Pen, cell
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec, LatentAttentionSpec, ModelSpec

# the model's file, and its name in two lines
MODELS = (
    ("jamba-v0.1", "Jamba", "v0.1"),
    ("nemotron-h-56b", "Nemotron", "H 56B"),
    ("nemotron-3-nano-30b-a3b", "Nemotron", "3 Nano"),
    ("qwen3-next-80b-a3b", "Qwen3", "Next"),
    ("qwen3.5-35b-a3b", "Qwen3.5", "35B"),
    ("kimi-linear-48b-a3b", "Kimi", "Linear"),
)
TOP, LAYER = 66, 4
STEP, BAR = WIDTH / len(MODELS), 30


def attends(spec: ModelSpec) -> list[bool]:
    """For each mixing layer, whether it attends."""
    return [
        isinstance(layer.mixer, AttentionSpec | LatentAttentionSpec)
        for layer in spec.layers
    ]


def draw() -> Figure:
    """Columns of layers, the first layer on top; below each what is kept."""
    pen, said = Pen(), []
    pen.text(4, 15, "Where six published hybrids attend", "H")
    specs = [load_spec(name) for name, *_ in MODELS]
    low = TOP + max(len(spec.layers) for spec in specs) * LAYER
    for i, (spec, (_, first, second)) in enumerate(zip(specs, MODELS, strict=True)):
        middle = (i + 0.5) * STEP
        pen.text(middle, 38, first, "s", "middle")
        pen.text(middle, 53, second, "s", "middle")
        said.append(f"{first} {second}: {_column(pen, spec, middle, low)}")
    y = low + 50
    entries = [("p attn", "attends"), ("q state", "keeps a state")]
    y += legend(pen, 4, y, entries) + 4
    pen.text(4, y + 10, "MiB: states of a request. KiB: what a token adds.", "s m")
    return Figure(Panel("Six hybrids", " ".join(said), pen, y + 18))


def _column(pen: Pen, spec: ModelSpec, middle: float, low: float) -> str:
    kinds, line = attends(spec), cache_line(spec)
    for role in ("p attn", "q state"):
        wanted = role == "p attn"
        path = [
            cell(middle - BAR / 2, TOP + row * LAYER, BAR, LAYER - 1)
            for row, kind in enumerate(kinds)
            if kind is wanted
        ]
        pen.path("".join(path), role)
    fixed = f"{line.fixed_bytes / 2**20:.0f} MiB"
    slope = f"{line.bytes_per_token / 2**10:.0f} KiB"
    share = f"{sum(kinds)} of {len(kinds)}"
    for step, words in enumerate((share, fixed, slope)):
        style = "B" if step == 0 else "s n"
        pen.text(middle, low + 14 + step * 14, words, style, "middle")
    return f"{share} layers attend, {fixed} of states, {slope} a token."
