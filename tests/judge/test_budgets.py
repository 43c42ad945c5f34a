"""The budget of others covers every order of summation, and not much more: running error analysis of typed formulas.

The bound of the rounding error of a value, and of each entry of its gradient, must lie within the budget of CV-15 and
of CV-16, and the budget of a value within a stated multiple of it: what is forgiven beyond any legitimate rounding.
"""

import numpy as np
import pytest
from running_error import Run, gradients

from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.oracle import Oracle

U = 2.0**-24
MOST = 32.0  # times the bound: most where the logits of 512 classes are added, and near the margin of a dissimilar pair


def distance(x, y, options):
    t = x - y
    if options.get("distance") == "squared_euclidean":
        return (t * t).total()
    t = abs(t + options.get("eps", 1e-6)) if options.get("eps", 1e-6) else abs(t)
    return t.total() if options.get("p", 2.0) == 1.0 else (t * t).total().root()


def triplet(anchor, positive, negative, options):
    gap = distance(anchor, positive, options) - distance(anchor, negative, options)
    return (gap + options.get("margin", 1.0)).relu().mean()


def contrastive(x1, x2, dissimilar, options):
    d = distance(x1, x2, {"eps": 0.0})
    far = (Run(options["margin"]) - d).relu()
    return ((far * far).where(dissimilar, d * d) * 0.5).mean()


def center(embeddings, labels, centers, options):
    t = embeddings - centers[labels]
    return ((t * t).total() * 0.5).mean()


def cross_entropy(logits, labels, options):
    """With the largest logit subtracted, as everybody does."""
    z = logits - logits.value.max(-1, keepdims=True)
    return (z.exp().total().log() - z[np.arange(len(labels)), labels]).mean()


def soft_cross_entropy(logits, targets, options):
    z = logits - logits.value.max(-1, keepdims=True)
    return (targets * (z.exp().total().log()[:, None] - z)).total().mean()


def batch_all(embeddings, labels, options):
    t = embeddings[:, None] - embeddings[None]
    d = (t * t).total()
    gap = (d[:, :, None] - d[:, None, :] + options["margin"]).relu()
    same = labels[:, None] == labels
    valid = (same & ~np.eye(len(labels), dtype=bool))[:, :, None] & ~same[:, None, :]
    active = gap[valid & (gap.value > 0)]  # to add a zero is exact
    return active.total(None) / valid.sum()


def rows(rng, *shape):
    return rounded(rng.standard_normal(shape) * rng.choice([0.1, 1.0, 10.0]), "float32")


SIZES = [(1, 1), (1, 8), (4, 3), (6, 64), (32, 16), (5, 512)]
OPTIONS = [{}, {"p": 1.0}, {"distance": "squared_euclidean"}, {"p": 2.0, "eps": 0.0, "margin": 0.1}]


def cases(rng, n, d):
    for options in OPTIONS:
        yield "triplet_margin_loss", triplet, {k: rows(rng, n, d) for k in ("anchor", "positive", "negative")}, options
    pairs = {"x1": rows(rng, n, d), "x2": rows(rng, n, d), "dissimilar": rng.random(n) < 0.5}
    yield "contrastive_loss", contrastive, pairs, {"margin": 2.0}
    labels = rng.integers(0, 3, n)
    batch = {"embeddings": rows(rng, n, d), "labels": labels}
    yield "center_loss", center, batch | {"centers": rows(rng, 3, d)}, {}
    yield "cross_entropy_loss", cross_entropy, {"logits": rows(rng, n, d + 2), "labels": labels % (d + 2)}, {}
    logits, targets = rows(rng, n, d + 2), abs(rows(rng, n, d + 2)) * (rng.random((n, d + 2)) < 0.7)
    yield "soft_cross_entropy_loss", soft_cross_entropy, {"logits": logits, "targets": targets}, {}
    if 4 <= n <= 6:
        options = {"margin": 1.0, "distance": "squared_euclidean", "pairwise": "direct"}
        yield "batch_all_triplet_loss", batch_all, batch, options


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("seed", range(5))
def test_the_budget_covers_any_order_of_summation_and_not_much_more(n, d, seed):
    for loss, formula, inputs, options in cases(np.random.default_rng(seed), n, d):
        carried = {k: Run(a) if a.dtype.kind == "f" else a for k, a in inputs.items()}
        found = formula(*carried.values(), options)
        expected = Oracle(ours=False).expected(Case(loss, inputs, "float32", options, cotangent=np.ones(())))
        np.testing.assert_allclose(found.value, expected.value.astype(float), rtol=1e-9)
        budget = float(np.asarray(expected.value_budget("direct")))
        if found.value > 0:
            assert found.error * U <= budget <= MOST * found.error * U, (loss, options)
        own = gradients(found, [carried[name] for name in expected.gradients])
        for (name, want), got in zip(expected.gradients.items(), own, strict=True):
            np.testing.assert_allclose(got.value, want.astype(float), rtol=1e-6, atol=1e-9)
            budgets = expected.gradient_budget("direct")[name]
            assert (got.error * U <= budgets).all(), (loss, options, name)
