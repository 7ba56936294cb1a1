"""What four attentions keep of one token: MHA, GQA, MQA and MLA side by side.

Eight query heads are drawn; numbers, bytes and bars are those of the models named.
"""

from course_lib.costs.mixers.dispatch import token_elements
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import HALF, Pen, number
from course_lib.specs.loader import load_spec

HEADS, X, STEP = 8, 8, 19
WIDE = HEADS * STEP - 4
# short name, long name, KV heads drawn, model, the model's name
FORMS = (
    ("MHA", "multi-head", 8, "llama-2-7b", "Llama 2 7B"),
    ("GQA", "grouped-query", 2, "llama-3.1-70b", "Llama 3.1 70B"),
    ("MQA", "multi-query", 1, "falcon-7b", "Falcon 7B"),
    ("MLA", "latent", 0, "deepseek-v3", "DeepSeek-V3"),
)


def draw() -> Figure:
    """Four panels, the last without heads."""
    kept = [token_elements(load_spec(form[3]).layers[0].mixer) for form in FORMS]
    return Figure(*(_panel(*form, max(kept)) for form in FORMS))


def _panel(kind, title, groups, model, name, most) -> Panel:
    pen, mixer = Pen(HALF), load_spec(model).layers[0].mixer
    elements = token_elements(mixer)
    pen.text(6, 16, kind, "H")
    pen.text(48, 16, title, "m")
    pen.text(6, 34, f"{mixer.heads} query heads", "s")
    for i in range(HEADS):
        pen.rect(X + i * STEP, 40, STEP - 4, 14, "p attn", 2)
    _latent(pen, mixer) if groups == 0 else _groups(pen, groups)
    pen.text(6, 132, name, "B")
    if groups:
        how = f"2 × {mixer.kv_heads} × {mixer.head_dim} = {elements:,}"
    else:
        how = f"{mixer.kv_rank} + {mixer.rope_dim} = {elements:,}"
    pen.text(6, 148, how, "s n")
    size = 2 * elements
    shown = f"{size // 1024} KiB" if size % 1024 == 0 else f"{size:,} bytes"
    pen.rect(X, 156, max(WIDE * elements / most, 1.5), 10, "p kept", 0)
    pen.rect(X, 156, WIDE, 10, "e", 0)
    pen.text(6, 180, f"{shown} per layer", "s B n")
    return Panel(
        kind,
        f"{title} attention: {name} keeps {elements:,} numbers, {shown}, of a token in "
        "each layer.",
        pen,
        186,
    )


def _groups(pen: Pen, groups: int) -> None:
    """Each group of query heads over the key and the value that they share."""
    share = HEADS // groups
    for g in range(groups):
        left, span = X + g * share * STEP, share * STEP - 4
        middle = left + span / 2
        for i in range(share):
            at = left + i * STEP + (STEP - 4) / 2
            path = f"M{number(at)} 54V64H{number(middle)}V72"
            pen.path(path, "u attn")
        for y, letter in ((72, "k"), (92, "v")):
            pen.rect(middle - 7.5, y, 15, 16, "b kept", 2)
            pen.text(middle, y + 12, letter, "s", "middle")


def _latent(pen: Pen, mixer) -> None:
    """Keys and values that are never made, over the latent and the rotary key."""
    for i in range(HEADS):
        at = X + i * STEP + (STEP - 4) / 2
        pen.path(f"M{number(at)} 54V84", "u attn d")
    pen.path(f"M{X + 7.5} 84H{X + WIDE - 7.5}M{X + WIDE / 2} 84V92", "u attn d")
    cut = WIDE - 44
    pen.rect(X, 92, cut - 4, 16, "b kept", 2)
    pen.text(X + (cut - 4) / 2, 104, f"latent, {mixer.kv_rank}", "s", "middle")
    pen.rect(X + cut, 92, 44, 16, "b kept", 2)
    pen.text(X + cut + 22, 104, f"RoPE {mixer.rope_dim}", "s", "middle")
