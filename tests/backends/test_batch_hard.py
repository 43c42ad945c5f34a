"""Batch-hard triplet loss: its sources typed apart, its classes, and what a judge of single calls cannot see."""

import numpy as np
import pytest

from lossproof import reference

torch = pytest.importorskip("torch")
backend = pytest.importorskip("lossproof.backends.torch")

ROWS = np.random.default_rng(0).standard_normal((8, 3))
LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 3])


def reidentification(rows, labels, margin):
    """S9 as re-identification code has it: a matrix product, a clamp, the anchor among its positives."""
    squares = (rows**2).sum(1)
    d = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 1e-12))
    same = labels[:, None] == labels
    losses = [max(0.0, d[i][same[i]].max() - d[i][~same[i]].min() + margin) for i in range(len(rows))]
    return np.mean(losses)


def addons(rows, labels, margin, distance, soft):
    """TripletHardLoss of TensorFlow Addons, for batches where every anchor has a positive and a negative."""
    terms = []
    for i, row in enumerate(rows):
        if distance == "angular":
            sizes = np.linalg.norm(rows, axis=1) * np.linalg.norm(row)
            d = np.maximum(1 - rows @ row / sizes, 0)
        else:
            d = np.linalg.norm(rows - row, axis=1) ** (2 if distance == "squared-L2" else 1)
        others = np.arange(len(rows)) != i
        gap = d[(labels == labels[i]) & others].max() - d[labels != labels[i]].min()
        terms.append(np.log1p(np.exp(gap)) if soft else max(gap + margin, 0.0))
    return np.mean(terms)


@pytest.mark.parametrize("module", [reference, backend])
def test_options_give_the_reidentification_loss(module):
    rows, labels = (ROWS, LABELS) if module is reference else (torch.tensor(ROWS), torch.tensor(LABELS))
    found = module.batch_hard_triplet_loss(rows, labels, margin=0.3, floor=1e-12, include_self=True)
    assert float(found) == pytest.approx(reidentification(ROWS, LABELS, 0.3), rel=1e-9)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("L2", "euclidean"), ("squared-L2", "squared_euclidean"), ("angular", "cosine")]
)
@pytest.mark.parametrize("soft", [False, True])
def test_migration_table(theirs, ours, soft):
    rows, labels = ROWS[:7], LABELS[:7]
    options = {"soft_margin": True} if soft else {"margin": 1.0}
    found = reference.batch_hard_triplet_loss(rows, labels, distance=ours, **options)
    assert float(found) == pytest.approx(addons(rows, labels, 1.0, theirs, soft), rel=1e-12)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_collapsed_far_batch_keeps_its_digits(distance):
    rows = (100 + 1e-3 * ROWS).astype(np.float32)
    wide = torch.tensor(rows.astype(np.float64), requires_grad=True)
    narrow = torch.tensor(rows, requires_grad=True)
    for x in (wide, narrow):
        backend.batch_hard_triplet_loss(x, torch.tensor(LABELS), margin=1e-3, distance=distance).backward()
    np.testing.assert_allclose(narrow.grad, wide.grad, rtol=1e-5, atol=1e-9)


def test_soft_margin_neither_overflows_nor_loses_its_derivative():
    rows = torch.tensor([[0.0], [300.0], [0.0], [300.0]], requires_grad=True)
    loss = backend.batch_hard_triplet_loss(rows, torch.tensor([0, 0, 1, 1]), soft_margin=True, reduction="sum")
    loss.backward()
    assert loss.item() == 1200.0
    assert torch.isfinite(rows.grad).all()


def test_no_value_is_read_back():
    rows, labels = torch.zeros(6, 2, device="meta"), torch.zeros(6, dtype=torch.long, device="meta")
    assert backend.batch_hard_triplet_loss(rows, labels, reduction="none").shape == (6,)


def test_module_has_the_options_of_the_function():
    loss = backend.BatchHardTripletLoss(margin=0.5, distance="cosine")
    expected = backend.batch_hard_triplet_loss(torch.tensor(ROWS), torch.tensor(LABELS), margin=0.5, distance="cosine")
    assert loss(torch.tensor(ROWS), torch.tensor(LABELS)) == expected
    with pytest.raises(ValueError, match="floor must"):
        backend.BatchHardTripletLoss(distance="cosine", floor=1.0)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine"])
def test_a_nan_row_in_no_triplet_leaves_the_gradient_of_the_others_alone(distance):
    rows = torch.tensor([[float("nan")], [1.0]], requires_grad=True)
    backend.batch_hard_triplet_loss(rows, torch.tensor([0, 1]), distance=distance, reduction="sum").backward()
    assert rows.grad[1].item() == 0.0


@pytest.mark.parametrize("far", [3.0, 8.0, 11.0])
def test_the_reference_is_within_its_budget_where_the_soft_margin_is_flat(far):
    """The slope is exp(-d) for the first two rows, below what the second oracle's digits show."""
    from lossproof.conformance.host.case import Case
    from lossproof.conformance.judge.compare import shares
    from lossproof.conformance.judge.oracle import Oracle

    rows = np.array([[0.25, 0.0], [0.5, 0.125], [far, 1.0], [far + 5, 1.0], [far + 0.5, 1.0], [far + 4, 1.5]])
    options = {"soft_margin": True, "distance": "squared_euclidean", "reduction": "sum"}
    for turn in range(6):  # of the entries the second oracle draws a few
        inputs = {"embeddings": np.roll(rows, turn, 0), "labels": np.roll([0, 0, 1, 1, 2, 2], turn)}
        case = Case("batch_hard_triplet_loss", inputs, "float64", options, order=1, cotangent=np.ones(()))
        expected = Oracle(ours=True, exact_only=True).expected(case)
        _, gradients = reference.batch_hard_triplet_loss(**inputs, **options, cotangent=1.0)
        got, want = gradients["embeddings"], expected.gradients["embeddings"]
        assert np.max(shares(got, want, expected.gradient_budget("direct")["embeddings"], "float64")) <= 1
