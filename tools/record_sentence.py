"""Record what SmolLM2-135M makes of the course's sentence, for the diagrams.

    python tools/record_sentence.py

Needs `make models`. Writes course_lib/course/sentence.json; a parity test recomputes
it.
"""

import json
from pathlib import Path

import torch

from course_lib.course.sentence import MODEL, TEXT
from course_lib.models.real.load import load_real

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "course_lib" / "course" / "sentence.json"


@torch.no_grad()
def seen_by_the_model(text: str = TEXT, likeliest: int = 5, added: int = 2) -> dict:
    """Return the text's tokens, the likeliest next ones, and a greedy continuation."""
    real = load_real(MODEL)
    ids = real.tokenizer.encode(text)
    shares = real.model(ids[None])[0, -1].softmax(-1).topk(likeliest)
    longer = ids
    for _ in range(added):
        next_id = real.model(longer[None])[0, -1].argmax(keepdim=True)
        longer = torch.cat([longer, next_id])
    names = real.tokenizer.pieces(shares.indices)
    return {
        "model": MODEL,
        "precision": real.precision,
        "pieces": real.tokenizer.pieces(ids),
        "ids": ids.tolist(),
        "likely": [
            [name, round(share, 4)]
            for name, share in zip(names, shares.values.tolist(), strict=True)
        ],
        "continued": real.tokenizer.pieces(longer[len(ids) :]),
    }


if __name__ == "__main__":
    record = json.dumps(seen_by_the_model(), indent=1, ensure_ascii=False)
    RECORD.write_text(record + "\n", encoding="utf-8")
    print(record)
