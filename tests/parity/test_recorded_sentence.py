"""The sentence in the diagrams is what SmolLM2 says today. Needs `make models`, as test_real_models does."""

import json

import pytest
from tools.record_sentence import RECORD, seen_by_the_model

from course_lib.course.sentence import recorded


def test_the_record_is_what_the_model_says():
    kept, now = json.loads(RECORD.read_text(encoding="utf-8")), seen_by_the_model()
    likely, likely_now = dict(kept.pop("likely")), dict(now.pop("likely"))
    assert kept == now
    assert likely_now == pytest.approx(likely, abs=2e-3)
    assert sum(likely.values()) < 1 and recorded().likely == tuple(likely.items())
