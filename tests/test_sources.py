"""The source systems: the documented call of each row, everywhere, against a formula that is typed here."""

import importlib
import itertools

import numpy as np
import pytest

HOMES = {"reference": None, "torch": "as_tensor", "tensorflow": "constant", "jax": "asarray"}
RNG = np.random.default_rng(20)
A, P, N = RNG.standard_normal((3, 6, 4))
X, Y = RNG.standard_normal((9, 4)), np.array([0, 0, 0, 1, 1, 2, 2, 3, 0])
APART = np.array([True, False, True, True, False, False])
LOGITS, CENTERS = RNG.standard_normal((9, 5)), RNG.standard_normal((5, 4))
UNITS = CENTERS / np.linalg.norm(CENTERS, axis=1, keepdims=True)
QUEUE = RNG.standard_normal((3, 4))
FEATURES = X / np.linalg.norm(X, axis=1, keepdims=True)
TEACHER = np.exp(RNG.standard_normal((9, 5)))
MIXED = 0.3 * np.eye(5)[Y] + 0.7 * np.eye(5)[Y[::-1]]
TARGETS = np.where(np.arange(9)[:, None] % 2, TEACHER / TEACHER.sum(-1, keepdims=True), MIXED)


def relu(x):
    return np.maximum(x, 0)


def squares(x, y):
    return ((x - y) ** 2).sum(-1)


def lengths(x, y):
    return np.sqrt(squares(x, y))


D = lengths(X[:, None], X)
TRIPLETS = [(a, p, n) for a, p, n in itertools.permutations(range(9), 3) if Y[a] == Y[p] != Y[n]]


def contrastive(d, m):
    return np.where(APART, relu(m - d) ** 2, d**2)


def hardest(a):
    """S9 as re-identification code has it: with itself among the positives, of which no distance is below 1e-6."""
    d = np.sqrt(np.maximum(D[a] ** 2, 1e-12))
    return relu(0.3 + d[Y[a] == Y].max() - d[Y[a] != Y].min())


def joint():
    """S19 as re-identification code has it: the center loss is S15's, without the half of Wen et al."""
    smooth = 0.9 * softmax_cost(LOGITS, Y) + 0.1 * (np.log(np.exp(LOGITS).sum(-1)) - LOGITS.mean(-1))
    near = [D[a, (Y[a] == Y) & (np.arange(9) != a)] for a in range(9)]
    triplet = [relu(0.3 + d.max() - D[a, Y[a] != Y].min()) for a, d in enumerate(near) if len(d)]
    return smooth.mean() + np.mean(triplet) + 5e-4 * squares(X, CENTERS[Y]).mean()


def semi_hard(d, m):
    terms = []
    for a, p in itertools.permutations(range(9), 2):
        if Y[a] == Y[p]:
            others = np.sort(d[a, Y[a] != Y])
            beyond = others[others > d[a, p]]
            terms.append(relu(m + d[a, p] - (beyond[0] if len(beyond) else others[-1])))
    return np.mean(terms)


def softmax_cost(z, y):
    return np.log(np.exp(z).sum(-1)) - z[np.arange(len(y)), y]


def circle():
    s, terms = FEATURES @ FEATURES.T, []
    for i in range(9):
        p, n = s[i, (Y[i] == Y) & (np.arange(9) != i)], s[i, Y[i] != Y]
        near, far = np.exp(-8 * relu(1.25 - p) * (p - 0.75)).sum(), np.exp(8 * relu(n + 0.25) * (n - 0.25)).sum()
        terms.append(np.log(1 + near * far) if len(p) else 0.0)
    return np.mean(terms)


def arcface():
    z = np.cos(np.arccos(FEATURES @ UNITS.T) + 0.5 * (np.arange(5) == Y[:, None]))
    return softmax_cost(64 * z, Y).mean()


def cosface():
    return softmax_cost(64 * (FEATURES @ UNITS.T - 0.35 * (np.arange(5) == Y[:, None])), Y).mean()


def soft():
    """S23 with the smoothing of Szegedy et al.: the targets are a teacher's probabilities and mixed labels in turn."""
    smooth = 0.9 * TARGETS + 0.1 / 5
    return (smooth * (np.log(np.exp(LOGITS).sum(-1, keepdims=True)) - LOGITS)).sum(-1).mean()


def moved_centers():
    found = CENTERS.copy()
    for j in range(5):
        own = X[j == Y]
        found[j] -= 0.5 * (CENTERS[j] - own).sum(0) / (1 + len(own))
    return found


def moved_memory():
    table, queue = UNITS.copy(), QUEUE.copy()
    for x, y in zip(FEATURES, np.where(Y == 3, -1, Y), strict=True):
        if y < 0:
            queue[1] = x
        else:
            v = 0.5 * table[y] + 0.5 * x
            table[y] = v / np.linalg.norm(v)
    return table, queue, 2


PAIRS, SAME, STEPS = D[np.triu_indices(9, 1)], (Y[:, None] == Y)[np.triu_indices(9, 1)], np.array([1.0, 2.0, 3.0])
IDENTITIES, BATCH = np.where(Y == 3, -1, Y), (X, Y)
T, C = "triplet_margin_loss", "contrastive_loss"
SWAPPED = np.minimum(lengths(A + 1e-6, N), lengths(P + 1e-6, N))
SQUARED_TERMS = relu(squares(A, P) - squares(A, N) + 0.2)
ALL = np.array([relu(1 + D[a, p] - D[a, n]) for a, p, n in TRIPLETS])
OIM = (FEATURES @ np.concatenate([UNITS, QUEUE]).T) / 0.1
RATES = [[(PAIRS[k] <= t).mean() for t in STEPS] for k in (SAME, ~SAME)]
WITH_EPS = contrastive(lengths(A + 1e-6, P), 2.0).mean()
SQ = {"distance": "squared_euclidean"}
REID = {"margin": 0.3, "floor": 1e-12, "include_self": True}
CLAMPED = {"factor": 1.0, "floor": 1e-12, "ceiling": 1e12}
RECIPE = {"center_weight": 5e-4, "label_smoothing": 0.1, "triplet_margin": 0.3}
ROWS = [
    ("S1", C, (A, P, APART), {"margin": 3.0, "reduction": "sum"}, 0.5 * contrastive(lengths(A, P), 3.0).sum()),
    ("S2", C, (A, P, APART), {"margin": 2.0, "factor": 1.0, "eps": 1e-6}, WITH_EPS),
    ("S3", C, (A, P, APART), {"margin": 0.2}, 0.5 * contrastive(lengths(A, P), 0.2).mean()),
    ("S4", T, (A, P, N), {"margin": 0.2, "reduction": "sum", **SQ}, SQUARED_TERMS.sum()),
    ("S5", T, (A, P, N), {"margin": 0.2, **SQ}, SQUARED_TERMS.mean()),
    ("S7", T, (A, P, N), {"swap": True}, relu(1 + lengths(A + 1e-6, P) - SWAPPED).mean()),
    ("S8", "classify_triplets", (np.array([0.7, 0.1, 1.3]), np.array([0.5, 0.5, 1.4])), {"margin": 0.2}, [2, 0, 1]),
    ("S9", "batch_hard_triplet_loss", BATCH, REID, np.mean([hardest(a) for a in range(9)])),
    ("S10", "batch_all_triplet_loss", BATCH, {}, ALL.mean()),
    ("S10", "batch_all_triplet_loss", BATCH, {"reduction": "mean_nonzero"}, ALL[ALL > 0].mean()),
    ("S11", "semi_hard_triplet_loss", BATCH, {}, semi_hard(D**2, 1.0)),
    ("S11", "semi_hard_triplet_loss", BATCH, {"distance": "euclidean"}, semi_hard(D, 1.0)),
    ("S14", "center_loss", (X, Y, CENTERS), {"factor": 0.5, "reduction": "sum"}, 0.5 * squares(X, CENTERS[Y]).sum()),
    ("S14", "update_centers", (CENTERS, X, Y), {"alpha": 0.5}, moved_centers()),
    ("S15", "center_loss", (X, Y, CENTERS), CLAMPED, squares(X, CENTERS[Y]).mean()),
    ("S16", "oim_loss", (FEATURES, IDENTITIES, UNITS, QUEUE), {}, softmax_cost(OIM[Y < 3], Y[Y < 3]).mean()),
    ("S16", "update_oim_memory", (UNITS, QUEUE, np.array(1), FEATURES, IDENTITIES), {}, moved_memory()),
    ("S17", "circle_loss", BATCH, {"gamma": 8.0}, circle()),
    ("S18", "arcface_loss", (X, Y, CENTERS), {}, arcface()),
    ("S22", "cosface_loss", (X, Y, CENTERS), {}, cosface()),
    ("S19", "joint_loss", (LOGITS, X, Y, CENTERS), RECIPE, joint()),
    ("S23", "soft_cross_entropy_loss", (LOGITS, TARGETS), {"label_smoothing": 0.1}, soft()),
    ("S20", "verification_rates", (PAIRS, SAME, STEPS), {}, RATES),
]  # fmt: skip


def called(home, name, arrays, *rest, **options):
    if home == "reference":
        return getattr(importlib.import_module("lossproof.reference"), name)(*arrays, *rest, **options)
    module = pytest.importorskip(f"lossproof.backends.{home}")
    array = getattr(importlib.import_module({"jax": "jax.numpy"}.get(home, home)), HOMES[home])
    narrow = [x.astype(np.float32) if home == "jax" and x.dtype.kind == "f" else x for x in arrays]
    return getattr(module, name)(*map(array, narrow), *rest, **options)


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize(("row", "name", "arrays", "options", "wanted"), ROWS, ids=[f"{r[0]}-{r[1]}" for r in ROWS])
def test_the_call_of_the_row_is_the_formula(home, row, name, arrays, options, wanted):
    found = called(home, name, arrays, **options)
    for got, want in zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]:
        np.testing.assert_allclose(np.asarray(got), want, rtol=2e-5 if home == "jax" else 1e-9, atol=1e-12)


def test_s6_is_the_keras_loss_of_three_rows_side_by_side():
    keras_loss = pytest.importorskip("lossproof.backends.tensorflow").TripletMarginLoss
    loss = keras_loss(margin=0.2, distance="squared_euclidean", reduction="none")
    np.testing.assert_allclose(loss(None, np.concatenate([A, P, N], axis=1)), SQUARED_TERMS[:, None].ravel(), rtol=1e-5)


@pytest.mark.parametrize("home", HOMES)
def test_s12_and_s13_draw_members_of_their_sets(home):
    if home == "jax":
        state = importlib.import_module("jax").random.key(1)
    elif home == "torch":
        state = importlib.import_module("torch").Generator().manual_seed(1)
    elif home == "tensorflow":
        state = importlib.import_module("tensorflow").random.Generator.from_seed(1)
    else:
        state = np.random.default_rng(1)
    options = {"size": 40} if home == "jax" else {}
    a, p, n = map(np.asarray, called(home, "sample_negatives", (X, Y), state, margin=8.0, **options))
    kept = a >= 0
    a, p, n = a[kept], p[kept], n[kept]
    assert len(a)
    assert np.all((D[a, p] ** 2 < D[a, n] ** 2) & (D[a, n] ** 2 < D[a, p] ** 2 + 8.0))
    triplets = np.asarray(called(home, "sample_triplets", (Y,), 50, state))
    assert {tuple(map(int, t)) for t in triplets} <= set(TRIPLETS)
    pairs, dissimilar = map(np.asarray, called(home, "sample_pairs", (Y,), 50, state))
    np.testing.assert_array_equal(Y[pairs[:, 0]] != Y[pairs[:, 1]], dissimilar)
