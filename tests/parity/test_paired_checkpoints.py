"""Checkpoint folders of encoders and encoder-decoders, both ways."""

from dataclasses import replace

import pytest
import torch
import transformers

from course_lib.models.checkpoints.files import load_checkpoint, save_checkpoint
from course_lib.models.encoder import Encoder, MaskedLM
from tests.parity import test_encoder_decoders, test_encoders
from tests.parity.twins import twins

MAKERS = {f"{name}, bare": (lambda of=case: twins(*of, Encoder)) for name, case in test_encoders.BARE.items()}
MAKERS |= {name: (lambda of=case: twins(*of, MaskedLM)) for name, case in test_encoders.MASKED.items()}
MAKERS |= {name: (lambda of=name: test_encoder_decoders.build(of)) for name in test_encoder_decoders.FAMILIES}


@pytest.fixture(params=MAKERS, scope="module")
def pair(request):
    return MAKERS[request.param]()


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}], ids=["one file", "shards"])
def test_we_load_what_they_save(pair, tmp_path, options):
    pair.theirs.save_pretrained(tmp_path, **options)
    loaded = load_checkpoint(tmp_path)
    assert type(loaded) is type(pair.ours)
    assert replace(loaded.spec, counted="") == replace(pair.spec, counted="")
    theirs = pair.ours.state_dict()
    assert loaded.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in loaded.state_dict().items())


def test_they_load_what_we_save(pair, tmp_path):
    save_checkpoint(pair.ours, tmp_path, pair.theirs.config.to_dict())
    loaded, report = getattr(transformers, type(pair.theirs).__name__).from_pretrained(
        tmp_path, dtype=torch.float64, output_loading_info=True
    )
    assert not any(report.values()), report
    sines = "embed_positions" if pair.spec.embeddings.sinusoidal else None  # Marian's are no weights
    theirs = pair.theirs.state_dict()
    assert loaded.state_dict().keys() == theirs.keys()
    for name, tensor in loaded.state_dict().items():
        if sines is None or sines not in name:
            assert torch.equal(tensor, theirs[name]), name
