"""A cache that grows and a state that does not: what one layer of either kind of
Qwen3.5-35B-A3B keeps of a text, against its length.
"""

from course_lib.costs.cache import kv_cache_bytes
from course_lib.costs.mixers.dispatch import attention_flops_per_pair, state_elements
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec, GatedDeltaNetSpec

MODEL = "qwen3.5-35b-a3b"
MOST, STEP = 4096, 1024
LEFT, RIGHT, TOP, BASE = 44, 318, 48, 208
STATE_BYTES, INPUT_BYTES = 4, 2  # float32 states, bf16 inputs of the convolution


def layer_of(kind: type):
    """The mixer of the model's first layer of a kind."""
    return next(
        layer.mixer
        for layer in load_spec(MODEL).layers
        if isinstance(layer.mixer, kind)
    )


def cache_bytes_at(tokens: int) -> int:
    """Keys and values that one attention layer keeps, in bf16."""
    mixer = layer_of(AttentionSpec)
    return kv_cache_bytes(
        batch=1,
        tokens=tokens,
        kv_heads=mixer.kv_heads,
        head_dim=mixer.head_dim,
        layers=1,
        bytes_per_element=2,
    )


def state_bytes() -> int:
    """What one recurrent layer keeps, however long the text."""
    states, inputs = state_elements(layer_of(GatedDeltaNetSpec), load_spec(MODEL).width)
    return states * STATE_BYTES + inputs * INPUT_BYTES


def attention_mflops(tokens: int) -> float:
    """Million FLOPs of scores and sums for a new token in one attention layer."""
    return attention_flops_per_pair(layer_of(AttentionSpec)) * tokens / 1e6


def crossing() -> int:
    """Tokens at which both kinds of layer keep as much."""
    return state_bytes() // cache_bytes_at(1)


def draw() -> Figure:
    """A line that rises and one that is level, with the point where they meet."""
    pen, most = Pen(), cache_bytes_at(MOST)
    pen.text(4, 15, "What one layer keeps of a text", "H")
    pen.text(4, 32, "MiB, of one request", "s m")

    def at(tokens: float, size: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * tokens / MOST
        return x, BASE - (BASE - TOP) * size / most

    for tokens in range(0, MOST + 1, STEP):
        x, _ = at(tokens, 0)
        pen.path(f"M{x:.1f} {TOP}V{BASE}", "e", under=True)
        pen.text(x, BASE + 15, f"{tokens:,}", "s m n", "middle")
    for mib in range(0, most // 2**20 + 1, 2):
        _, y = at(0, mib * 2**20)
        pen.path(f"M{LEFT} {y:.1f}H{RIGHT}", "e", under=True)
        pen.text(LEFT - 6, y + 4, mib, "s m n", "end")
    pen.text((LEFT + RIGHT) / 2, BASE + 31, "tokens", "s m", "middle")
    line(pen, at(0, 0), at(MOST, most), cls="u kept")
    line(pen, at(0, state_bytes()), at(MOST, state_bytes()), cls="u state")
    x, y = at(crossing(), state_bytes())
    pen.circle(x, y, 4, "k diff")
    pen.text(x + 2, y + 20, f"equal at {crossing():,} tokens", "B")
    x, y = at(2560, cache_bytes_at(2560))
    pen.text(x - 8, y - 10, "attention: keys, values", "s", "end")
    x, y = at(MOST, state_bytes())
    pen.text(x, y - 7, "gated DeltaNet: a state", "s", "end")
    said = (
        f"The keys and values of an attention layer grow by {cache_bytes_at(1):,} "
        f"bytes a token to {most / 2**20:.0f} MiB at {MOST:,}. The state of a gated "
        f"DeltaNet layer has {state_bytes() / 2**20:.2f} MiB throughout; both are "
        f"equal at {crossing():,} tokens."
    )
    return Figure(Panel("A cache grows, a state does not", said, pen, BASE + 36))
