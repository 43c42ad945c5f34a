"""The budgets of others where rows are compared by their cosine, whatever the formula and the order of its sums.

Running error bounds (`running_error.py`), which for a chord and for gradients know that a norm rounds alike for all
entries of its row.
"""

import numpy as np
import pytest
from running_error import Run

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.oracle import Oracle

U = 2.0**-24
MOST = 32.0


def column(number):
    """Return a number of each row, to stand beside the entries of the row."""
    return number[..., None]


def quotient(x, y):
    return (x * y).total() / ((x * x).total().root() * (y * y).total().root())


def divided(x):
    return x / column((x * x).total().root())


def multiplied(x):
    return x * column(Run(1.0) / (x * x).total().root())


COSINES = {
    "quotient": quotient,
    "divided": lambda x, y: (divided(x) * divided(y)).total(),
    "multiplied": lambda x, y: (multiplied(x) * multiplied(y)).total(),
}


def chord(x, y):
    """Half the squared distance of the unit rows: relative errors a and b of their norms make (1 + a + b) d of it."""
    norms = [(row * row).total().root() for row in (x, y)]
    u, w = (
        Run(row.value / n.value[..., None], abs(row.value) / n.value[..., None])
        for row, n in zip((x, y), norms, strict=True)
    )
    d = ((u - w) * (u - w)).total() * 0.5
    return Run(d.value, d.error + d.value * sum(n.error / n.value + 1 for n in norms))


DISTANCES = {name: lambda x, y, of=of: Run(1.0) - of(x, y) for name, of in COSINES.items()} | {"chord": chord}


def log_sum_exp(z):
    largest = z.value.max()
    return (z - largest).exp().total(None).log() + largest


def circle(x, labels, cosine, margin, gamma):
    s = cosine(x[:, None], x[None])
    same, others = labels[:, None] == labels, ~np.eye(len(labels), dtype=bool)
    terms = []
    for row, positive, negative in zip(range(len(labels)), same & others, ~same, strict=True):
        if positive.any() and negative.any():
            p, n = s[row][positive], s[row][negative]
            z_p = -((Run(1 + margin) - p).relu() * (p - (1 - margin))) * gamma
            z_n = (n + margin).relu() * (n - margin) * gamma
            z = log_sum_exp(z_p) + log_sum_exp(z_n)
            terms.append(z.relu() + ((-abs(z)).exp() + 1.0).log())
    return sum(terms, Run(0.0)) / len(labels)


def arcface(x, w, labels, unit, margin, scale):
    u, v, rows = unit(x), unit(w), np.arange(len(labels))
    c = (u[:, None] * v[None]).total()
    near, own = c[rows, labels], np.arange(len(w.value)) == labels[:, None]
    across = u - v[labels] * column(near)
    moved = near * np.cos(margin) - (across * across).total().root() * np.sin(margin)
    z = (column(moved) * np.ones(own.shape)).where(own, c) * scale
    return sum((log_sum_exp(z[k]) - z[k, y] for k, y in enumerate(labels)), Run(0.0)) / len(labels)


def cosface(x, w, labels, unit, margin, scale):
    c = (unit(x)[:, None] * unit(w)[None]).total()
    own = np.arange(len(w.value)) == labels[:, None]
    z = (c - Run(margin, abs(margin))).where(own, c) * scale
    return sum((log_sum_exp(z[k]) - z[k, y] for k, y in enumerate(labels)), Run(0.0)) / len(labels)


def within(loss, inputs, options, found):
    expected = Oracle(ours=False).expected(Case(loss, inputs, "float32", options, cotangent=np.ones(())))
    np.testing.assert_allclose(found.value, expected.value.astype(float), rtol=1e-6, atol=1e-6)
    share = found.error * U / float(np.asarray(expected.value_budget("direct")))
    assert share <= 1, (loss, options, share)
    return share


def rows(rng, *shape):
    return rounded(rng.standard_normal(shape) * rng.choice([0.1, 1.0, 10.0]), "float32")


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 2), (1, 8), (4, 3), (6, 64), (32, 16), (5, 512)])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", DISTANCES)
def test_the_budget_of_a_value_covers_every_formula_of_a_cosine(n, d, seed, form):
    rng = np.random.default_rng(seed)
    x, y, z = rows(rng, n, d), rows(rng, n, d), rows(rng, n, d)
    if seed % 2:  # nearly opposite, and parallel
        y, z = rounded(0.01 * y - 3 * x, "float32"), rounded(2 * x, "float32")
    distance, shares = DISTANCES[form], []
    for margin in (0.2, 2.0):
        options = {"distance": "cosine", "margin": margin}
        far, near = distance(Run(x), Run(z)), distance(Run(x), Run(y))
        found = (near - far + margin).relu().mean()
        if found.value > 0:
            inputs = {"anchor": x, "positive": y, "negative": z}
            shares.append(within("triplet_margin_loss", inputs, options, found))
        apart = rng.random(n) < 0.5
        room = (Run(margin) - near).relu()
        found = ((room * room).where(apart, near * near) * 0.5).mean()
        within("contrastive_loss", {"x1": x, "x2": y, "dissimilar": apart}, options, found)
    assert not shares or max(shares) >= 1 / MOST
    if form in COSINES and 1 < n <= 6:
        batch = {"embeddings": np.concatenate([x, y]), "labels": rng.integers(0, 3, 2 * n)}
        weights = {"embeddings": x, "labels": rng.integers(0, 3, n), "class_weights": rows(rng, 3, d)}
        for factor in (0.25, 16.0, 256.0):
            found = circle(Run(batch["embeddings"]), batch["labels"], COSINES[form], 0.25, factor)
            assert within("circle_loss", batch, {"gamma": factor}, found) >= 1 / MOST
            unit = divided if form == "divided" else multiplied
            found = arcface(Run(x), Run(weights["class_weights"]), weights["labels"], unit, 0.5, factor)
            assert within("arcface_loss", weights, {"scale": factor}, found) >= 1 / MOST
            for own in (0.35, 5.0):
                found = cosface(Run(x), Run(weights["class_weights"]), weights["labels"], unit, own, factor)
                assert within("cosface_loss", weights, {"scale": factor, "margin": own}, found) >= 1 / MOST


@pytest.mark.parametrize("d", [1, 2, 3, 8, 64, 512])
def test_the_budget_of_a_gradient_covers_the_cosine(d):
    """A norm rounds alike for all entries of its row and for the cosine, and cancels but in cos(x, y) x / |x|."""
    rng = np.random.default_rng(d)
    for _ in range(100):
        x, y = rng.standard_normal((2, d)) * 10.0 ** (rng.uniform(-3, 1, (2, d)) * rng.integers(2))
        y = y + x * rng.choice([0.0, 10.0, -1000.0])  # nearly parallel too
        inputs = {"anchor": x[None], "positive": y[None], "negative": np.zeros((1, d))}  # a zero row has no gradient
        options = {"distance": "cosine", "margin": 8.0}
        case = Case("triplet_margin_loss", inputs, "float64", options, cotangent=np.ones(()))
        budget = Oracle(ours=False).expected(case).gradient_budget("direct")["anchor"][0]
        u, w, of_norm = x / np.linalg.norm(x), y / np.linalg.norm(y), d / 2 + 1
        c, of_product = u @ w, (d + 2) * (abs(u) @ abs(w))
        bound = of_product * abs(u) + 2 * (of_norm + 1) * (abs(c * u) + abs(c * u - w)) + abs(w)
        share = bound / np.linalg.norm(x) * 2.0**-53 / budget
        assert share.max() <= 1
        assert share.max() >= 1 / MOST
