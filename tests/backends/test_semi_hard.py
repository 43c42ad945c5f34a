"""Semi-hard and batch-all triplet losses: their sources typed apart, and what a judge of single calls cannot see."""

import itertools

import numpy as np
import pytest

from lossproof import reference

torch = pytest.importorskip("torch")
backend = pytest.importorskip("lossproof.backends.torch")

RNG = np.random.default_rng(1)
ROWS, LABELS = RNG.standard_normal((9, 3)), np.array([0, 0, 0, 1, 1, 2, 2, 3, 4])


def distances(rows, kind):
    if kind == "angular":
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.maximum(1 - unit @ unit.T, 0)
    return np.linalg.norm(rows[:, None] - rows, axis=2) ** (2 if kind == "squared-L2" else 1)


def addons(rows, labels, margin, kind):
    """TripletSemiHardLoss: the smallest distance beyond d_ap, else the largest; the mean over positive pairs."""
    d, terms = distances(rows, kind), []
    for a, p in itertools.permutations(range(len(rows)), 2):
        if labels[a] == labels[p]:
            negatives = sorted(d[a][labels != labels[a]])
            beyond = [x for x in negatives if x > d[a, p]]
            terms.append(max(0.0, margin + d[a, p] - (beyond[0] if beyond else negatives[-1])))
    return np.mean(terms)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("L2", "euclidean"), ("squared-L2", "squared_euclidean"), ("angular", "cosine")]
)
@pytest.mark.parametrize("module", [reference, backend])
def test_migration_table_of_addons(module, theirs, ours):
    rows, labels = (ROWS, LABELS) if module is reference else (torch.tensor(ROWS), torch.tensor(LABELS))
    found = module.semi_hard_triplet_loss(rows, labels, margin=0.5, distance=ours)
    assert float(found) == pytest.approx(addons(ROWS, LABELS, 0.5, theirs), rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "mean_nonzero", "sum"])
def test_batch_all_is_every_triplet(reduction):
    d = distances(ROWS, "L2")
    terms = [
        max(0.0, 1 + d[a, p] - d[a, n])
        for a, p, n in itertools.permutations(range(len(ROWS)), 3)
        if LABELS[a] == LABELS[p] != LABELS[n]
    ]
    count = {"mean": len(terms), "mean_nonzero": sum(t > 0 for t in terms), "sum": 1}[reduction]
    for module, rows, labels in (
        (reference, ROWS, LABELS),
        (backend, torch.tensor(ROWS), torch.tensor(LABELS)),
    ):
        found = module.batch_all_triplet_loss(rows, labels, reduction=reduction)
        assert float(found) == pytest.approx(sum(terms) / count, rel=1e-9)


LOSSES = ["semi_hard_triplet_loss", "batch_all_triplet_loss"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pairwise", ["gram", "direct"])
def test_collapsed_far_batch_keeps_its_digits(loss, pairwise):
    rows = (100 + 1e-3 * ROWS).astype(np.float32)
    wide = torch.tensor(rows.astype(np.float64), requires_grad=True)
    narrow = torch.tensor(rows, requires_grad=True)
    for x in (wide, narrow):
        getattr(backend, loss)(x, torch.tensor(LABELS), margin=1e-3, distance="euclidean", pairwise=pairwise).backward()
    np.testing.assert_allclose(narrow.grad, wide.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_crowded_anchor_is_refused_on_the_host_and_nan_in_a_graph(loss):
    function = getattr(backend, loss)
    rows, labels = torch.tensor(ROWS), torch.tensor(LABELS)
    with pytest.raises(ValueError, match="max_positives=1"):
        function(rows, labels, max_positives=1)
    terms = torch.func.vmap(lambda y: function(rows, y, max_positives=1, reduction="none"))(labels[None])[0]
    assert terms[:3].isnan().any(-1).all() if terms.ndim == 2 else terms[:3].isnan().all()
    assert torch.isfinite(terms[3:]).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_bound_that_holds_changes_no_bit(loss):
    function = getattr(backend, loss)
    rows, labels = torch.tensor(ROWS), torch.tensor(LABELS)
    plain = function(rows, labels, reduction="none")
    assert all(torch.equal(function(rows, labels, reduction="none", max_positives=k), plain) for k in (2, 5, 100))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_value_is_read_back(loss):
    rows, labels = torch.zeros(6, 2, device="meta"), torch.zeros(6, dtype=torch.long, device="meta")
    assert getattr(backend, loss)(rows, labels).shape == ()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pairwise", ["gram", "direct"])
def test_no_array_of_triplets(loss, pairwise):
    count, width = 256, 64
    rows = torch.randn(count, width, requires_grad=True)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        getattr(backend, loss)(rows, torch.arange(count) % 32, pairwise=pairwise).backward()
    assert max(sizes) <= 2 * count * count


@pytest.mark.filterwarnings("ignore")  # what the compiler says of itself
def test_compiled_gradients_are_those_of_the_plain_call():
    labels = torch.tensor([0, 1, 0])

    def derived(loss):
        rows = torch.tensor([[0.0, 0.0], [0.0, 0.25], [0.0, -2.5]], requires_grad=True)
        value = loss(rows, labels, distance="euclidean")
        return value.detach(), *torch.autograd.grad(value, rows)

    plain = derived(backend.semi_hard_triplet_loss)  # torch 2.13 wrote over a diagonal that was still to be read
    compiled = derived(torch.compile(backend.semi_hard_triplet_loss, fullgraph=True, dynamic=False))
    torch.testing.assert_close(compiled, plain)
