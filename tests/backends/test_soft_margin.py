"""The soft margin of given and of semi-hard triplets: what a judge of single calls cannot see."""

import numpy as np
import pytest

from lossproof import reference

torch = pytest.importorskip("torch")
backend = pytest.importorskip("lossproof.backends.torch")

RNG = np.random.default_rng(5)
ROWS = RNG.standard_normal((3, 7, 4))
LABELS = np.array([0, 0, 1, 1, 1, 2, 3])


def lengths(x):
    return np.linalg.norm(x, axis=-1)


def smooth(rows, swap):
    """TripletMarginLoss(margin=0, smooth_loss=True) of pytorch-metric-learning, for rows at unit length."""
    a, p, n = (x / lengths(x)[:, None] for x in rows)
    far = np.minimum(lengths(a - n), lengths(p - n)) if swap else lengths(a - n)
    return np.log1p(np.exp(lengths(a - p) - far)).mean()


@pytest.mark.parametrize("swap", [False, True])
def test_migration_from_pytorch_metric_learning(swap):
    unit = [torch.tensor(x / lengths(x)[:, None]) for x in ROWS]
    found = backend.triplet_margin_loss(*unit, distance="euclidean", soft_margin=True, swap=swap)
    assert float(found) == pytest.approx(smooth(ROWS, swap), rel=1e-12)


def test_it_neither_overflows_nor_loses_its_derivative():
    rows = torch.tensor([[0.0], [300.0], [0.0]], requires_grad=True)
    given = backend.triplet_margin_loss(rows[:1], rows[1:2], rows[2:], soft_margin=True, distance="euclidean")
    mined = backend.semi_hard_triplet_loss(
        rows, torch.tensor([0, 0, 1]), soft_margin=True, distance="euclidean", reduction="none"
    )
    assert given.item() == mined[0, 1].item() == 300.0
    for loss in (given, mined.sum()):
        (gradient,) = torch.autograd.grad(loss, rows, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert gradient[1] > 0


@pytest.mark.parametrize("pairwise", ["gram", "direct"])
def test_a_pair_of_weight_0_whose_distances_overflow_leaves_no_nan(pairwise):
    rows = torch.tensor([[1e30], [-1e30], [1.0], [2.0]], requires_grad=True)
    labels, weights = torch.tensor([0, 0, 1, 1]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    options = {"soft_margin": True, "pairwise": pairwise, "reduction": "sum"}
    backend.semi_hard_triplet_loss(rows, labels, weights=weights, **options).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("far", [3.0, 8.0, 11.0])
@pytest.mark.parametrize("grade", ["direct", "centred"])
def test_torch_is_within_its_budget_where_the_soft_margin_is_flat(far, grade):
    """The slopes are as small as exp(-far), and the distances of a matrix product move them."""
    from lossproof.conformance.host.case import Case
    from lossproof.conformance.judge.compare import shares
    from lossproof.conformance.judge.oracle import Oracle

    rows = np.array([[0.25, 0.0], [0.5, 0.125], [far, 1.0], [far + 5, 1.0], [far + 0.5, 1.0], [far + 4, 1.5]])
    rows = (rows + 64).astype(np.float32)
    pairwise = "gram" if grade == "centred" else "direct"
    options = {"soft_margin": True, "distance": "euclidean", "reduction": "sum", "pairwise": pairwise}
    inputs = {"embeddings": rows, "labels": np.array([0, 0, 1, 1, 2, 2])}
    case = Case("semi_hard_triplet_loss", inputs, "float32", options, order=1, cotangent=np.ones(()))
    expected = Oracle(ours=True).expected(case)
    x = torch.tensor(rows, requires_grad=True)
    loss = backend.semi_hard_triplet_loss(x, torch.tensor(inputs["labels"]), **options)
    loss.backward()
    assert np.max(shares(loss.detach().numpy(), expected.value, expected.value_budget(grade), "float32")) <= 1
    got, want = x.grad.numpy(), expected.gradients["embeddings"]
    assert np.max(shares(got, want, expected.gradient_budget(grade)["embeddings"], "float32")) <= 1


def test_modules_have_the_option_of_the_functions():
    rows, labels = torch.tensor(ROWS[0]), torch.tensor(LABELS)
    mined = backend.SemiHardTripletLoss(soft_margin=True, distance="cosine")
    assert mined(rows, labels) == backend.semi_hard_triplet_loss(rows, labels, soft_margin=True, distance="cosine")
    three = [torch.tensor(x) for x in ROWS]
    given = backend.TripletMarginLoss(soft_margin=True, swap=True)
    assert given(*three) == backend.triplet_margin_loss(*three, soft_margin=True, swap=True)
    for made in (backend.SemiHardTripletLoss, backend.TripletMarginLoss):
        with pytest.raises(ValueError, match="margin must be left at its default"):
            made(soft_margin=True, margin=0.5)


def test_no_value_is_read_back():
    rows, labels = torch.zeros(6, 2, device="meta"), torch.zeros(6, dtype=torch.long, device="meta")
    options = {"soft_margin": True, "reduction": "none"}
    assert backend.triplet_margin_loss(rows, rows, rows, **options).shape == (6,)
    assert backend.semi_hard_triplet_loss(rows, labels, max_positives=2, **options).shape == (6, 6)


def test_a_class_of_jax_keeps_it_static_and_its_margin_traced():
    jax = pytest.importorskip("jax")
    ours = pytest.importorskip("lossproof.backends.jax")
    rows = [x.astype(np.float32) for x in ROWS]
    for made, arrays in ((ours.TripletMarginLoss, rows), (ours.SemiHardTripletLoss, (rows[0], LABELS))):
        loss = made(soft_margin=True)
        leaves, tree = jax.tree_util.tree_flatten(loss)
        assert not any(leaf is True for leaf in leaves)
        assert jax.tree_util.tree_unflatten(tree, leaves) == loss
        assert float(jax.jit(lambda own, *x: own(*x))(loss, *arrays)) == pytest.approx(float(loss(*arrays)), rel=1e-6)
        with pytest.raises(ValueError, match="margin must be left at its default"):
            made(soft_margin=True, margin=0.5)


@pytest.mark.parametrize("name", ["triplet_margin_loss", "semi_hard_triplet_loss"])
def test_mean_nonzero_is_the_mean_where_terms_underflow(name):
    rows = np.array([[0.0], [1.0], [1.5], [2000.0], [2001.0]])
    arrays = (rows, np.array([0, 0, 1, 2, 2])) if name.startswith("semi") else (rows[:2], rows[1:3], rows[2:4])
    options = {"soft_margin": True, "distance": "euclidean"}
    for module, each in ((reference, arrays), (backend, [torch.tensor(x) for x in arrays])):
        loss = getattr(module, name)
        terms = np.asarray(loss(*each, reduction="none", **options))
        assert (terms == 0).any()
        found = [float(loss(*each, reduction=r, **options)) for r in ("mean", "mean_nonzero")]
        assert found[0] == found[1] > 0


@pytest.mark.parametrize("distance", ["p_norm", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("swap", [False, True])
def test_second_derivatives_of_the_reference_are_those_of_the_second_oracle(distance, swap):
    from lossproof.conformance.host.case import Case
    from lossproof.conformance.judge import exact
    from lossproof.conformance.judge.oracle import Oracle

    rows = dict(zip(("anchor", "positive", "negative"), ROWS, strict=True))
    tangents = dict(zip(rows, np.roll(ROWS, 1, axis=0), strict=True))
    options = {"soft_margin": True, "distance": distance, "swap": swap, "reduction": "none"}
    case = Case("triplet_margin_loss", rows, "float64", options, "eager", 2, np.ones(7), tangents)
    expected = Oracle(ours=True).expected(case)
    _, _, wanted = exact.evaluate(case, np.ones(7))
    for name in rows:
        assert (np.abs(wanted[name] - expected.second[name]) <= expected.second_budget[name]).all()
