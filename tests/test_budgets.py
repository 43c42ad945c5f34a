"""The budget of others covers every order of summation, and not much more: running error analysis of typed formulas.

Each number carries a bound of its rounding error to first order, in units of the roundoff u, for any order in which
sums are added (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3). The bound must lie within the
budget of CV-15, and the budget within a stated multiple of it: what is forgiven beyond any legitimate rounding.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from lossproof.conformance.arrays import rounded
from lossproof.conformance.case import Case
from lossproof.conformance.oracle import Oracle

U = 2.0**-24
MOST = 32.0  # times the bound: most where the logits of 512 classes are added, and near the margin of a dissimilar pair


@dataclass
class Run:
    """A number, and the bound of its error in units of u."""

    value: np.ndarray
    error: np.ndarray | float = 0.0

    def __add__(self, other):
        other = other if isinstance(other, Run) else Run(np.asarray(other))
        value = self.value + other.value
        return Run(value, self.error + other.error + abs(value))

    def __sub__(self, other):
        return self + Run(-other.value, other.error)

    def __mul__(self, other):
        value = self.value * other.value
        return Run(value, abs(self.value) * other.error + abs(other.value) * self.error + abs(value))

    def __abs__(self):
        return Run(abs(self.value), self.error)

    def __getitem__(self, place):
        return Run(self.value[place], np.broadcast_to(self.error, self.value.shape)[place])

    def of(self, function, slope, units=1.0):
        """A library function with its derivative, and the units that it errs by itself."""
        value = function(self.value)
        return Run(value, slope * self.error + units * abs(value))

    def root(self):
        return self.of(np.sqrt, 0.5 / np.sqrt(np.maximum(self.value, 1e-300)))

    def relu(self):
        return Run(np.maximum(self.value, 0), self.error)

    def total(self, axis=-1):
        """Added in any order: each of n - 1 additions errs by at most the sum of the sizes."""
        count = self.value.shape[axis] if axis is not None else self.value.size
        error = np.broadcast_to(self.error, self.value.shape)
        return Run(self.value.sum(axis), error.sum(axis) + max(count - 1, 0) * abs(self.value).sum(axis))

    def mean(self):
        total = self.total(None)
        return Run(total.value / self.value.size, (total.error + abs(total.value)) / self.value.size)


def distance(x, y, options):
    t = x - y
    if options.get("distance") == "squared_euclidean":
        return (t * t).total()
    t = abs(t + options.get("eps", 1e-6)) if options.get("eps", 1e-6) else abs(t)
    return t.total() if options.get("p", 2.0) == 1.0 else (t * t).total().root()


def triplet(anchor, positive, negative, options):
    gap = distance(anchor, positive, options) - distance(anchor, negative, options)
    return (gap + options.get("margin", 1.0)).relu()


def contrastive(x1, x2, dissimilar, options):
    d = distance(x1, x2, {"eps": 0.0})
    far = (Run(np.array(options["margin"])) - d).relu()
    square = Run(
        np.where(dissimilar, (far * far).value, (d * d).value), np.where(dissimilar, (far * far).error, (d * d).error)
    )
    return square * Run(np.array(0.5))


def center(embeddings, labels, centers, options):
    t = embeddings - centers[labels]
    return (t * t).total() * Run(np.array(0.5))


def cross_entropy(logits, labels, options):
    """With the largest logit subtracted, as everybody does."""
    z = logits - Run(logits.value.max(-1, keepdims=True))
    powers = z.of(np.exp, np.exp(z.value), 2.0).total()
    return powers.of(np.log, 1 / powers.value, 2.0) - z[np.arange(len(labels)), labels]


def batch_all(embeddings, labels, options):
    x = embeddings
    t = x[:, None] - x[None]
    d = (t * t).total()
    gap = (d[:, :, None] - d[:, None, :] + options["margin"]).relu()
    same = labels[:, None] == labels
    valid = (same & ~np.eye(len(labels), dtype=bool))[:, :, None] & ~same[:, None, :]
    kept = Run(gap.value[valid], np.where(gap.value > 0, gap.error, 0)[valid])  # to add a zero is exact
    return Run(kept.total(None).value / valid.sum(), (kept.total(None).error + kept.value.sum()) / valid.sum())


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
    if 4 <= n <= 6:
        options = {"margin": 1.0, "distance": "squared_euclidean", "pairwise": "direct"}
        yield "batch_all_triplet_loss", batch_all, batch, options


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("seed", range(5))
def test_the_budget_covers_any_order_of_summation_and_not_much_more(n, d, seed):
    for loss, formula, inputs, options in cases(np.random.default_rng(seed), n, d):
        carried = {k: Run(a) if a.dtype.kind == "f" else a for k, a in inputs.items()}
        found = formula(*carried.values(), options)
        bound = float((found if loss == "batch_all_triplet_loss" else found.mean()).error) * U
        expected = Oracle(ours=False).expected(Case(loss, inputs, "float32", options, order=0))
        budget = float(np.asarray(expected.value_budget["direct"]))
        if float(expected.value) > 0:
            assert bound <= budget <= MOST * bound, (loss, options, budget / bound)
