"""Weights in torch, by hand: what they multiply, what a mean divides by, what no weight is, and the modules."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch

import lossproof.backends.torch as backend

ROWS = torch.tensor([[0.0, 0.5], [1.0, 0.0], [3.0, 1.0], [4.5, 0.0], [9.0, 2.0]])
LABELS = torch.tensor([0, 0, 1, 1, 2])
WEIGHTS = torch.tensor([3.0, 1.0, 0.0, 0.5, 2.0])
TABLE = torch.tensor([[1.0, 0.5], [-0.5, 2.0], [0.25, 1.0]])
CALLS = {
    "triplet_margin_loss": ((ROWS, ROWS.roll(1, 0), ROWS.roll(2, 0)), {}),
    "contrastive_loss": ((ROWS, ROWS.roll(1, 0), torch.tensor([True, False, True, False, False])), {}),
    "cross_entropy_loss": ((ROWS @ TABLE.T, LABELS), {"label_smoothing": 0.1}),
    "soft_cross_entropy_loss": ((ROWS @ TABLE.T, (ROWS @ TABLE.T).softmax(-1)), {"label_smoothing": 0.1}),
    "arcface_loss": ((ROWS, LABELS, TABLE), {"scale": 4.0}),
    "cosface_loss": ((ROWS, LABELS, TABLE), {"scale": 4.0}),
    "center_loss": ((ROWS, LABELS, TABLE), {}),
    "oim_loss": ((ROWS, LABELS, TABLE, torch.zeros(0, 2)), {"temperature": 2.0}),
    "batch_hard_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "batch_all_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "semi_hard_triplet_loss": ((ROWS, LABELS), {"margin": 4.0}),
    "circle_loss": ((ROWS, LABELS), {"gamma": 2.0}),
}
OWN_ROWS = list(CALLS)[:8]
COUNTED = {  # by each anchor, where not one: the last row is alone with its label
    "batch_hard_triplet_loss": [1, 1, 1, 1, 0],
    "batch_all_triplet_loss": [3, 3, 3, 3, 0],
    "semi_hard_triplet_loss": [1, 1, 1, 1, 0],
}


def of(name, **options):
    """Return what a loss gives of the call of its name."""
    inputs, own = CALLS[name]
    return getattr(backend, name)(*inputs, **{**own, **options})


@pytest.mark.parametrize("name", CALLS)
def test_none_is_weighed_and_sum_adds_it(name):
    terms = of(name, reduction="none")
    weighed = terms * (WEIGHTS[:, None] if terms.ndim == 2 else WEIGHTS)
    torch.testing.assert_close(of(name, reduction="none", weights=WEIGHTS), weighed)
    torch.testing.assert_close(of(name, reduction="sum", weights=WEIGHTS), weighed.sum())


@pytest.mark.parametrize("name", CALLS)
def test_a_mean_divides_by_the_weights_of_what_it_counts(name):
    counts = torch.tensor(COUNTED.get(name, [1, 1, 1, 1, 1]))
    total = of(name, reduction="sum", weights=WEIGHTS)
    torch.testing.assert_close(of(name, weights=WEIGHTS), total / (WEIGHTS * counts).sum())
    torch.testing.assert_close(of(name, weights=torch.full((5,), 4.0)), of(name))


@pytest.mark.parametrize("name", ["triplet_margin_loss", "contrastive_loss", "batch_hard_triplet_loss", "circle_loss"])
def test_mean_nonzero_divides_by_the_weights_of_positive_terms(name):
    positive = of(name, reduction="none") > 0
    assert not positive.all()
    total = of(name, reduction="sum", weights=WEIGHTS)
    torch.testing.assert_close(of(name, reduction="mean_nonzero", weights=WEIGHTS), total / WEIGHTS[positive].sum())


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", [-1.0, nan, inf])
def test_on_the_host_what_is_no_weight_is_an_error(name, wrong):
    with pytest.raises(ValueError, match=r"weights must be in \[0, inf\)"):
        of(name, weights=WEIGHTS.index_fill(0, torch.tensor(1), wrong))


@pytest.mark.parametrize("name", CALLS)
def test_in_a_map_what_is_no_weight_makes_its_own_term_nan(name):
    wrong = WEIGHTS.index_fill(0, torch.tensor(1), -1.0)
    found = torch.func.vmap(lambda w: of(name, reduction="none", weights=w))(wrong[None])[0]
    right = of(name, reduction="none", weights=WEIGHTS)
    assert found[1].isnan().any() or not right[1].any()
    others = torch.arange(5) != 1
    torch.testing.assert_close(found[others], right[others])


def test_a_wild_weight_leaves_0_where_its_anchor_has_no_pair():
    wrong = WEIGHTS.index_fill(0, torch.tensor(1), -1.0)
    found = torch.func.vmap(lambda w: of("semi_hard_triplet_loss", reduction="none", weights=w))(wrong[None])[0]
    assert found[1].isnan().tolist() == [True, False, False, False, False]
    assert not found[1, 1:].any()


@pytest.mark.parametrize("name", OWN_ROWS)
def test_rows_of_weight_0_may_hold_nan(name):
    (first, *rest), own = CALLS[name]
    spoilt = first.clone()
    spoilt[2] = nan
    spoilt.requires_grad_()
    loss = getattr(backend, name)(spoilt, *rest, **own, weights=WEIGHTS)
    torch.testing.assert_close(loss, of(name, weights=WEIGHTS))
    (gradient,) = torch.autograd.grad(loss, spoilt)
    assert gradient.isfinite().all()
    assert not gradient[2].any()


@pytest.mark.parametrize("name", CALLS)
def test_weights_have_no_gradient_and_all_0_is_0(name):
    weights = WEIGHTS.clone().requires_grad_()
    assert not of(name, weights=weights).requires_grad
    assert float(of(name, weights=torch.zeros(5))) == 0


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", [WEIGHTS[:, None], WEIGHTS[:1], WEIGHTS.long(), WEIGHTS.half(), WEIGHTS.tolist()])
def test_weights_of_another_shape_or_dtype_are_an_error(name, wrong):
    with pytest.raises((TypeError, ValueError), match="weights must"):
        of(name, weights=wrong)


def test_the_weight_of_an_unlabelled_or_masked_row_is_not_looked_at():
    wild = torch.tensor([3.0, 1.0, nan, 0.5, -inf])
    inputs = (ROWS, torch.tensor([0, 0, -1, 1, -1]), TABLE, torch.zeros(0, 2))
    assert backend.oim_loss(*inputs, weights=wild).isfinite()
    mask = torch.tensor([True, True, False, True, False])
    for name in CALLS:
        torch.testing.assert_close(of(name, weights=wild, mask=mask), of(name, weights=WEIGHTS, mask=mask))


def test_the_joint_loss_weighs_all_three_parts():
    logits, options = ROWS @ TABLE.T, {"weights": WEIGHTS}
    own = backend.cross_entropy_loss(logits, LABELS, label_smoothing=0.1, **options)
    triplet = backend.batch_hard_triplet_loss(ROWS, LABELS, margin=4.0, **options)
    pull = backend.center_loss(ROWS, LABELS, TABLE, factor=1.0, **options)
    found = backend.joint_loss(logits, ROWS, LABELS, TABLE, triplet_margin=4.0, center_weight=0.5, **options)
    torch.testing.assert_close(found, own + triplet + 0.5 * pull)


def test_torchs_own_cross_entropy_weighed_by_hand():
    logits = ROWS @ TABLE.T
    terms = torch.nn.functional.cross_entropy(logits, LABELS, reduction="none")
    found = backend.cross_entropy_loss(logits, LABELS, weights=WEIGHTS)
    torch.testing.assert_close(found, (terms * WEIGHTS).sum() / WEIGHTS.sum())


def test_torchs_own_weights_of_classes():
    logits, table = ROWS @ TABLE.T, torch.tensor([3.0, 0.5, 2.0])
    found = backend.cross_entropy_loss(logits, LABELS, weights=table[LABELS])
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, LABELS, weight=table))
    smooth = {"label_smoothing": 0.1}
    theirs = torch.nn.functional.cross_entropy(logits, LABELS, weight=table, **smooth)  # weighs each class's share
    assert abs(float(theirs - backend.cross_entropy_loss(logits, LABELS, weights=table[LABELS], **smooth))) > 0.01


MODULES = {
    "triplet_margin_loss": backend.TripletMarginLoss(),
    "contrastive_loss": backend.ContrastiveLoss(),
    "cross_entropy_loss": backend.CrossEntropyLoss(),
    "soft_cross_entropy_loss": backend.SoftCrossEntropyLoss(),
    "arcface_loss": backend.ArcFaceLoss(3, 2),
    "cosface_loss": backend.CosFaceLoss(3, 2),
    "center_loss": backend.CenterLoss(3, 2),
    "oim_loss": backend.OIMLoss(3, 0, 2),
    "batch_hard_triplet_loss": backend.BatchHardTripletLoss(margin=4.0),
    "batch_all_triplet_loss": backend.BatchAllTripletLoss(margin=4.0),
    "semi_hard_triplet_loss": backend.SemiHardTripletLoss(margin=4.0),
    "circle_loss": backend.CircleLoss(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_modules_take_weights(name):
    inputs, module = CALLS[name][0], MODULES[name]
    if name == "oim_loss":
        module.lookup_table.copy_(TABLE)  # which is zero at first, so that all terms are alike
    given = inputs[:2] if list(module.parameters()) or list(module.buffers()) else inputs
    one = torch.zeros(5).index_fill(0, torch.tensor(1), 1.0)
    alone = module(*given, weights=one)
    torch.testing.assert_close(alone, module(*given, weights=8 * one))
    assert not torch.equal(alone, module(*given))


def test_the_joint_module_takes_weights():
    module, inputs = backend.JointLoss(3, 2), (ROWS @ TABLE.T, ROWS, LABELS)
    torch.testing.assert_close(module(*inputs, weights=WEIGHTS), module(*inputs, weights=8 * WEIGHTS))
