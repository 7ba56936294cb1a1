"""Colours and classes of every diagram: one palette for both themes, as CSS variables.

A role has a pale fill and a strong stroke; text is ink on either ground. The strokes
were chosen by their distance under simulated colour blindness (Machado and others,
2009), and colour still never stands alone: a box carries its name, a state is drawn as
two bars, a difference has a sign. Ink, muted ink and ground are the page's own, so a
figure has no card and no seam.

Terms:
    palette: the colours of diagrams, in a light and a dark theme -> LIGHT, DARK
"""

LIGHT = {
    "ink": "#222832",
    "muted": "#48566b",
    "page": "#ffffff",
    "line": "#8a929c",
    "attn-f": "#dcebf7",
    "attn-s": "#0558cc",
    "ffn-f": "#fbe5d6",
    "ffn-s": "#963200",
    "norm-f": "#ecece8",
    "norm-s": "#6a6a66",
    "emb-f": "#d9f0e6",
    "emb-s": "#0f8a7a",
    "state-f": "#f0e1f3",
    "state-s": "#5a1a78",
    "kept-f": "#fff0b8",
    "kept-s": "#967400",
    "diff-f": "#fddcec",
    "diff-s": "#cb0c5f",
}
DARK = {
    "ink": "#ced6dd",
    "muted": "#9ca4af",
    "page": "#121212",
    "line": "#7d858f",
    "attn-f": "#0e2f47",
    "attn-s": "#79b3f0",
    "ffn-f": "#45240f",
    "ffn-s": "#f79247",
    "norm-f": "#2a2c2e",
    "norm-s": "#a6a8aa",
    "emb-f": "#0c3a2e",
    "emb-s": "#a8f5e6",
    "state-f": "#3a2140",
    "state-s": "#c060e8",
    "kept-f": "#453703",
    "kept-s": "#fde27a",
    "diff-f": "#4a0f2e",
    "diff-s": "#f0508f",
}
ROLES = {
    "attn": "attention",
    "state": "recurrent state",
    "ffn": "feed-forward",
    "norm": "norm",
    "emb": "embedding, output head",
    "kept": "kept between tokens",
    "diff": "differs",
}
OF_THE_PAGE = {
    "ink": "--pst-color-text-base",
    "muted": "--pst-color-text-muted",
    "page": "--pst-color-background",
}
SANS = "system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

# Shapes: b a filled box, k solid, p and q a solid and a pale cell, e an empty cell,
# g a dashed outline, o an outline, l a thin line, w the residual stream, u a line in
# the role's colour, d dashed, h an arrow's head, x a ground without a line.
# Text: H heading, T title, B bold, m muted, s small, c code, n figures in columns.
SHAPES = f"""
.dgm{{font-family:{SANS};fill:var(--d-ink);color:var(--d-ink);--f:var(--d-page);
--s:var(--d-line);max-width:100%;height:auto;overflow:visible}}
.dgm .b{{fill:var(--f);stroke:var(--s)}}
.dgm .k{{fill:var(--s);stroke:var(--s)}}
.dgm .p{{fill:var(--s)}}
.dgm .q{{fill:var(--f);stroke:var(--s);stroke-width:.6}}
.dgm .e{{fill:none;stroke:var(--d-line);stroke-width:.6}}
.dgm .g{{fill:none;stroke:var(--d-line);stroke-dasharray:3 3}}
.dgm .o{{fill:none;stroke:var(--s)}}
.dgm .l{{fill:none;stroke:var(--d-ink);stroke-width:1.2}}
.dgm .w{{fill:none;stroke:var(--d-ink);stroke-width:3}}
.dgm .u{{fill:none;stroke:var(--s);stroke-width:1.6}}
.dgm .d{{stroke-dasharray:4 3}}
.dgm .h{{fill:var(--d-ink)}}
.dgm .x{{fill:var(--f)}}
.dgm text{{font-size:11px;stroke:none}}
.dgm .H{{font-size:15px;font-weight:700}}
.dgm .T{{font-size:12px;font-weight:700}}
.dgm .B{{font-weight:700}}
.dgm .m{{fill:var(--d-muted)}}
.dgm .s{{font-size:10px}}
.dgm .c{{font-family:{MONO};font-size:10px}}
.dgm .n{{font-variant-numeric:tabular-nums}}
"""

# On a page: panels stand side by side where there is room, and wrap where not.
LAYOUT = """
.dgm-row{display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start;
justify-content:center;margin:0}
.dgm-row>svg{flex:1 1 var(--w,330px);max-width:calc(var(--w,330px)*1.25);min-width:0}
figure.dgm-fig{margin:1.5rem 0;break-inside:avoid}
"""


def page_css() -> str:
    """The style sheet of diagrams that stand inside a page of the book."""
    roles = "".join(
        f".dgm .{role}{{--f:var(--d-{role}-f);--s:var(--d-{role}-s)}}\n"
        for role in ROLES
    )
    dark = "html[data-theme=dark]"
    return (
        f":root{{{_variables(LIGHT, OF_THE_PAGE)}}}\n"
        f"{dark}{{{_variables(DARK, OF_THE_PAGE)}}}\n"
        f"{SHAPES.strip()}\n{roles}{LAYOUT.strip()}\n"
        f"@media print{{html:root,{dark}:root{{{_variables(LIGHT)}}}}}\n"
        f"@media (forced-colors:active){{html:root,{dark}:root{{{_forced()}}}"
        ".dgm{forced-color-adjust:none}}\n"
    )


def file_css() -> str:
    """The style sheet inside an SVG file, which follows the reader's system."""
    roles = "".join(
        f".dgm .{role}{{--f:var(--d-{role}-f);--s:var(--d-{role}-s)}}\n"
        for role in ROLES
    )
    return (
        f".dgm{{{_variables(LIGHT)};background:var(--d-page)}}\n"
        f"@media (prefers-color-scheme:dark){{.dgm{{{_variables(DARK)}}}}}\n"
        f"{SHAPES.strip()}\n{roles}"
    )


def _variables(colours: dict[str, str], page: dict[str, str] | None = None) -> str:
    """Declarations of the variables, some of them taken from the page's own."""
    page = page or {}
    return "".join(
        f"--d-{name}:{f'var({page[name]},{value})' if name in page else value};"
        for name, value in colours.items()
    )


def _forced() -> str:
    """The variables where the reader forces the colours of the system: what is kept and
    what differs are told by the line.
    """
    grounds = {name for name in LIGHT if name.endswith("-f")} | {"page"}
    system = "".join(
        f"--d-{name}:{'Canvas' if name in grounds else 'CanvasText'};" for name in LIGHT
    )
    return system + "--d-diff-s:Highlight;--d-kept-s:Highlight;"
