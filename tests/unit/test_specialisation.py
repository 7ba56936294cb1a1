"""Mutual information of token class and expert, and the training loss with balance losses."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.evaluate.specialisation import (
    CLASSES,
    byte_class,
    expert_information,
    information,
    joint_counts,
    shuffled_information,
)
from course_lib.layers.feed_forward.balance import switch_loss
from course_lib.models.build import build_model
from course_lib.specs.small import small_llama
from course_lib.train.balanced import WEIGHT, balanced_loss


def test_every_byte_has_a_class_and_the_names_fit():
    classes = byte_class(torch.arange(256))
    assert sorted(set(classes.tolist())) == list(range(len(CLASSES)))
    assert [CLASSES[i] for i in byte_class(torch.tensor(list(b"xX7\t\n}'+")))] == list(CLASSES)


def test_information_is_the_entropy_where_one_says_the_other_and_nothing_where_neither_does():
    classes = torch.arange(4).repeat(25)
    assert expert_information(classes, classes[:, None], 4, 4) == pytest.approx(2.0)
    assert expert_information(classes, torch.zeros(100, 1, dtype=torch.long), 4, 4) == 0
    counts = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    binary = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert information(counts) == pytest.approx(1 - binary)


def test_each_pick_counts_and_a_pick_of_no_expert_does_not():
    counts = joint_counts(torch.tensor([1, 0]), torch.tensor([[0, 2], [-1, 2]]), 2, 3)
    assert counts.tolist() == [[0, 0, 1], [1, 0, 1]]


def test_shuffled_classes_show_what_chance_shows():
    draw = torch.Generator().manual_seed(0)
    classes = torch.randint(8, (4000,), generator=draw)
    picks = classes[:, None].clone()
    found = shuffled_information(classes, picks, 8, 8, draws=30, generator=draw)
    expected = 7 * 7 / (2 * 4000 * math.log(2))
    assert sum(found) / 30 == pytest.approx(expected, rel=0.15)
    assert max(found) < 0.02 < expert_information(classes, picks, 8, 8)


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="draws=0"):
        shuffled_information(torch.zeros(2).long(), torch.zeros(2, 1).long(), 2, 2, draws=0)


def mixture():
    fields = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    torch.manual_seed(0)
    return build_model(small_llama(16, layers=2, heads=2, ffn=8, vocab=11, **fields))


def test_the_balance_loss_of_each_layer_is_added_in_training_and_left_out_in_evaluation():
    model, draw = mixture(), torch.Generator().manual_seed(1)
    inputs, targets = torch.randint(11, (2, 3, 7), generator=draw)
    logits, auxiliary = model(inputs, return_auxiliary=True)
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    left = auxiliary.statistics
    extra = sum(switch_loss(left[i, "scores"], left[i, "picks"]) for i in range(2))
    torch.testing.assert_close(balanced_loss(model.train(), (inputs, targets)), plain + WEIGHT * extra)
    torch.testing.assert_close(balanced_loss(model.eval(), (inputs, targets)), plain)
    assert extra > 1


def test_a_dense_model_has_nothing_to_balance():
    torch.manual_seed(0)
    model = build_model(small_llama(16, layers=1, heads=2, vocab=11)).train()
    inputs = torch.tensor([[1, 2, 3]])
    with_balance = balanced_loss(model, (inputs, inputs))
    torch.testing.assert_close(with_balance, balanced_loss(model.eval(), (inputs, inputs)))
