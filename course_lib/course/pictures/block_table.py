"""Paged KV cache: two requests share blocks of one pool, and the first to write into a
shared block copies it.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow
from course_lib.kit.diagrams.pen import WIDTH, Pen

SIZE, TOKENS = 4, 10  # slots of a block; tokens that both requests begin with
SHARED = [5, 2, 7]  # blocks of those tokens
COPY = 6
POOL, FIRST, ROW, CELL = 115, 2, 36, 17


def draw() -> Figure:
    """After the fork, and after both requests have written token 10."""
    forked = {block: _tokens(i) for i, block in enumerate(SHARED)}
    written = forked | {7: ("8", "9", "a"), COPY: ("8", "9", "b")}
    tables = {"A": SHARED, "B": [*SHARED[:2], COPY]}
    return Figure(
        _panel(
            "1  B starts from A's ten tokens",
            "Both tables name the same blocks; nothing is copied.",
            {"A": SHARED, "B": SHARED},
            forked,
        ),
        _panel(
            "2  Each writes a token of its own",
            "The half-full block is copied first; the full ones stay shared.",
            tables,
            written,
        ),
    )


def _tokens(i: int) -> tuple[str, ...]:
    return tuple(str(t) for t in range(i * SIZE, min(TOKENS, (i + 1) * SIZE)))


def _panel(title, said, tables, pool) -> Panel:
    pen = Pen()
    pen.text(4, 14, title, "H")
    pen.text(4, 30, said, "s m")
    pen.text(POOL + 55, 52, "pool of blocks", "B", "middle")
    where = {number: 60 + (number - FIRST) * ROW for number in range(FIRST, FIRST + 6)}
    for side, (owner, blocks) in enumerate(tables.items()):
        _table(pen, side, owner, blocks, where)
    for number, y in where.items():
        owners = sum(number in blocks for blocks in tables.values())
        _block(pen, POOL, y, number, pool.get(number, ()), owners)
    copied = COPY in pool
    if copied:
        y0, y1 = where[7], where[COPY] + 26
        arrow(pen, (POOL + 55, y0), (POOL + 55, y1 + 1), cls="u diff")
        pen.text(POOL + 61, (y0 + y1) / 2 + 4, "copy", "s B")
    names = "; ".join(
        f"{owner}: blocks {', '.join(map(str, blocks))}"
        for owner, blocks in tables.items()
    )
    return Panel(title, f"{names}. {said}", pen, 60 + 6 * ROW)


def _table(pen: Pen, side: int, owner: str, blocks: list, where: dict) -> None:
    left, role = (4, "attn") if side == 0 else (WIDTH - 88, "ffn")
    pen.text(left, 52, f"table of {owner}", "B")
    for i, number in enumerate(blocks):
        y, target = 74 + i * 54, where[number] + 13
        pen.rect(left, y, 84, 26, f"b {role}", 3)
        pen.text(left + 6, y + 17, f"{SIZE * i}–{SIZE * i + SIZE - 1}", "n")
        pen.text(left + 78, y + 17, f"→ {number}", "n B", "end")
        ends = (left + 84, POOL) if side == 0 else (left, POOL + 110)
        bend = 6 if side == 0 else -6
        points = ((ends[0], y + 13), (ends[0] + bend, y + 13))
        points += ((ends[1] - bend, target), (ends[1], target))
        arrow(pen, *points, cls=f"u {role}{' d' if side else ''}")


def _block(pen: Pen, x, y, number, tokens, owners) -> None:
    pen.rect(x, y, 110, 26, "b kept" if tokens else "g", 3)
    pen.text(x + 6, y + 17, number, "B" if tokens else "m")
    for i in range(SIZE):
        at = x + 17 + i * CELL
        word = tokens[i] if i < len(tokens) else ""
        own = word in ("a", "b")
        pen.rect(at, y + 5, CELL - 1, 16, "b diff" if own else "b" if word else "e", 1)
        pen.text(at + CELL / 2 - 0.5, y + 17, word, "s", "middle")
    if tokens:
        pen.text(x + 106, y + 17, f"×{owners}", "s B", "end")
    else:
        pen.text(x + 106, y + 17, "free", "s m", "end")
