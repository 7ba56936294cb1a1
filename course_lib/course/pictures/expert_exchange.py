"""Expert parallelism: experts lie on four ranks, and each token's vector travels to the
ranks of its experts and back.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen

# ranks that the five token vectors of each rank go to
SENT = ("00123", "00013", "01223", "01233")
ROLES = ("attn", "ffn", "state", "emb")
RANK, GAP, CELL, LEFT = 78, 84, 14, 4
TOP, MIDDLE = 62, 150


def received() -> list[list[tuple[int, int]]]:
    """For each rank, (sender, its cell) of the vectors that arrive."""
    arriving: list[list[tuple[int, int]]] = [[] for _ in SENT]
    for sender, row in enumerate(SENT):
        for cell, target in enumerate(row):
            arriving[int(target)].append((sender, cell))
    return arriving


def draw() -> Figure:
    """Downward: each rank's own tokens, the exchange, what each rank must compute."""
    pen, arriving = Pen(), received()
    pen.text(4, 14, "All-to-all between four ranks", "H")
    pen.text(4, 32, "before: five vectors on each rank, by destination", "s m")
    for rank, row in enumerate(SENT):
        x = LEFT + rank * GAP
        pen.rect(x, 40, RANK, 42, "o", 6, under=True)
        pen.text(x + 6, 54, f"rank {rank}", "s B")
        for cell, target in enumerate(row):
            pen.rect(
                x + 3 + cell * CELL, TOP, CELL - 2, 14, f"k {ROLES[int(target)]}", 1
            )
    longest = max(map(len, arriving))
    for rank, cells in enumerate(arriving):
        x = LEFT + rank * GAP
        for place, (sender, cell) in enumerate(cells):
            x0 = LEFT + sender * GAP + 3 + cell * CELL + CELL / 2 - 1
            x1 = x + 10 + place * (RANK - 20) / max(len(cells) - 1, 1)
            line(pen, (x0, TOP + 15), (x1, MIDDLE), cls=f"u {ROLES[rank]}", under=True)
        _work(pen, x, rank, len(cells), longest)
    y = MIDDLE + 24 + longest * 12 + 20
    pen.text(4, y, "Then every vector goes back along its line: combine.", "s")
    counts = ", ".join(str(len(cells)) for cells in arriving)
    said = (
        f"Each rank sends five vectors; {counts} arrive at ranks 0 to 3. The step "
        "lasts as long as the rank with most, and the others wait."
    )
    return Figure(Panel("All-to-all", said, pen, y + 8))


def _work(pen: Pen, x: float, rank: int, count: int, longest: int) -> None:
    role = ROLES[rank]
    pen.rect(x, MIDDLE, RANK, 18, f"b {role}", 3)
    pen.text(
        x + RANK / 2, MIDDLE + 13, f"experts {2 * rank}, {2 * rank + 1}", "s", "middle"
    )
    top = MIDDLE + 24
    for i in range(longest):
        cls = f"k {role}" if i < count else "e"
        pen.rect(x + 12, top + i * 12, RANK - 24, 10, cls, 1)
    if count < longest:
        middle = top + (count + longest) * 6
        pen.rect(x + RANK / 2 - 17, middle - 8, 34, 14, "x", 0)
        pen.text(x + RANK / 2, middle + 2, "waits", "s m", "middle")
