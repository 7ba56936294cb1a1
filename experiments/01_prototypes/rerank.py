"""Ranking real documentation with real models: BM25, MiniLM as a bi-encoder, and
SmolLM2 on the candidates of either.

Nothing is trained. Every document is cut to its first `CUT` characters, for all systems
alike; the query of a document is its docstring's summary or its topic's title, and the
document is the only right answer. The candidates are BM25's and MiniLM's first `EACH`
together. SmolLM2 scores them by the likelihood of the query, and is asked yes or no
about each for the first `JUDGED` queries. Both prompts were chosen on twelve queries
that are not among these.

Finished queries are kept in `COURSE_RUNS`, so an interrupted measurement goes on.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence

from torch import Tensor

from course_lib.evaluate.lm_scoring import query_likelihood, yes_over_no
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.bm25 import BM25
from course_lib.tasks.documents import documents
from course_lib.train.experiment import Measurement
from course_lib.train.recording import runs_folder

QUERIES, JUDGED, EACH, CUT, SEED = 100, 30, 5, 400, 0
KEPT = 3  # queries whose texts are recorded: a notebook repeats them on any Python


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]


def timed(score, lm: RealLM, query: str, texts: Sequence[str]) -> Mapping:
    """The score of every text, and the CPU seconds that it took."""
    start = time.process_time()
    found = rounded(score(lm, query, texts))
    return {"scores": found, "cpu_s": round(time.process_time() - start, 3)}


def one_query(lm, row: dict, first: Mapping[str, Tensor], texts: Sequence[str]) -> dict:
    """What is recorded of one query. `first`: the scores of the two first stages."""
    best = [scores.topk(EACH).indices.tolist() for scores in first.values()]
    union = sorted({i for five in best for i in five})
    shown = [texts[i] for i in union]
    row |= {name: rounded(scores[union]) for name, scores in first.items()}
    for name, scores in first.items():  # equal scores stand against the right document
        row[f"{name}_rank"] = int((scores >= scores[row["right"]]).sum())
    row["candidates"] = union
    row["likelihood"] = timed(query_likelihood, lm, row["query"], shown)
    if row["number"] < JUDGED:
        row["yes_no"] = timed(yes_over_no, lm, row["query"], shown)
    if row["number"] < KEPT:
        row["texts"] = shown
    return row


def measure() -> Mapping:
    """Every query with the scores of its candidates."""
    found, clock = documents(), {}
    texts = [document.text[:CUT] for document in found]
    asked = random.Random(SEED).sample(range(len(found)), QUERIES)
    queries = [found[i].query for i in asked]

    def clocked(name: str, work):
        start = time.process_time()
        done = work()
        clock[name] = round(time.process_time() - start, 2)
        return done

    lexical = clocked(
        "BM25, index and all queries", lambda: BM25(texts).score_all(queries)
    )
    encoder = load_real("minilm-l6")
    index = clocked("MiniLM, all documents", lambda: encoder.embed(texts))
    dense = clocked("MiniLM, all queries", lambda: encoder.embed(queries) @ index.T)
    lm = load_real("smollm2-135m")
    rows = runs_folder() / "rerank.rows.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in rows.open()] if rows.exists() else []
    for number in range(len(done), QUERIES):
        row = {"number": number, "right": asked[number], "query": queries[number]}
        row["group"] = found[asked[number]].group
        first = {"bm25": lexical[number], "minilm": dense[number]}
        done.append(one_query(lm, row, first, texts))
        with rows.open("a") as out:
            out.write(json.dumps(done[-1]) + "\n")
        print(f"query {number + 1} of {QUERIES}", flush=True)
    return {
        "documents": len(texts),
        "characters": CUT,
        "each": EACH,
        "precision": {"smollm2-135m": lm.precision, "minilm-l6": encoder.precision},
        "cpu_s": clock,
        "queries": done[:QUERIES],
    }


experiment = Measurement(
    asks="How do BM25, a sentence encoder and a chat model rank real documentation?",
    measure=measure,
)
