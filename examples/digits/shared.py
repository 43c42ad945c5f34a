"""What the three frameworks share: digits, initial weights, batches, objectives. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from lossproof import reference
from lossproof.reference import sample_pairs, sample_triplets

Array = NDArray[Any]
TRAINED = 1200  # rows that are trained on; the other 597 are looked at
FEATURES, HIDDEN, CLASSES = 64, 64, 10
STEPS, ROWS = 200, 64  # of an epoch, of a batch
DTYPES = ("float64", "float32")
MOMENTUM = 0.875  # dyadic, as the rates: Keras holds them in float32


@dataclass(frozen=True)
class Objective:
    """A loss by its name, the arguments it takes, and what a batch is made of.

    `arguments` are names that every trainer knows: those of the passes; with "pairs" also "dissimilar", with "rows"
    "labels", "logits" of a linear layer upon the embeddings, and "centers", a trained table.
    """

    loss: str
    batch: str
    arguments: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 2  # of the embeddings; where it is more, pictures show the two principal axes
    rate: float = 2**-5  # learning rate

    @property
    def passes(self) -> tuple[str, ...]:
        """Name the embeddings that the network computes of one batch, with shared weights."""
        return {"triplets": ("anchor", "positive", "negative"), "pairs": ("x1", "x2"), "rows": ("embeddings",)}[
            self.batch
        ]


_ROWS = ("embeddings", "labels")
OBJECTIVES = {
    "triplet": Objective("triplet_margin_loss", "triplets", ("anchor", "positive", "negative")),
    "contrastive": Objective("contrastive_loss", "pairs", ("x1", "x2", "dissimilar")),
    # Mined in two dimensions, all rows collapse into one point from these weights: hence 16.
    "batch_hard": Objective("batch_hard_triplet_loss", "rows", _ROWS, width=16),
    "batch_all": Objective("batch_all_triplet_loss", "rows", _ROWS, width=16),
    "semi_hard": Objective("semi_hard_triplet_loss", "rows", _ROWS, width=16, rate=2**-6),
    "joint": Objective("joint_loss", "rows", ("logits", "embeddings", "labels", "centers"), width=16),
}


@dataclass(frozen=True)
class Setup:
    """One training run, the same for every framework."""

    objective: Objective
    images: Array  # (N, 64), in [0, 1]
    labels: Array  # (N,)
    seen: Array  # (M, 64), held out
    seen_labels: Array
    weights: Mapping[str, Array]
    batches: Array  # (steps, passes, rows): indices of images
    dissimilar: Array  # (steps, rows); of pairs only


def setup(name: str, *, epochs: int = 2, seed: int = 0) -> Setup:
    """Return the run of an objective: everything random is drawn here."""
    objective, rng = OBJECTIVES[name], np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    images, labels = images / 16, labels.astype(np.int64)
    own, held = np.split(rng.permutation(len(labels)), [TRAINED])
    drawn, dissimilar = _draw(objective.batch, labels[own], STEPS * ROWS, rng)
    drawn = np.swapaxes(drawn.reshape(STEPS, ROWS, -1), 1, 2)  # one row of indices a pass
    return Setup(
        objective, images[own], labels[own], images[held], labels[held], _weights(objective, rng),
        np.tile(drawn, (epochs, 1, 1)), np.tile(dissimilar.reshape(STEPS, ROWS), (epochs, 1)),
    )  # fmt: skip


def _draw(kind: str, labels: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return indices (n, passes), drawn before the model runs (S13), and which pairs are dissimilar."""
    none = np.zeros(n, bool)
    if kind == "triplets":
        return sample_triplets(labels, n, rng), none
    if kind == "pairs":
        return sample_pairs(labels, n, rng)
    # Batches for mined losses: eight digits, eight rows of each, as in Hermans et al. (2017)
    groups = [np.flatnonzero(labels == digit) for digit in range(CLASSES)]
    batches = [
        [rng.choice(groups[digit], 8, replace=False) for digit in rng.choice(CLASSES, ROWS // 8, replace=False)]
        for _ in range(n // ROWS)
    ]
    return np.reshape(batches, (n, 1)), none


def _weights(objective: Objective, rng: np.random.Generator) -> dict[str, Array]:
    """Return the initial weights, uniform as Glorot & Bengio (2010) have them; biases and centers are 0."""

    def layer(inputs: int, outputs: int) -> Array:
        limit = np.sqrt(6 / (inputs + outputs))
        return rng.uniform(-limit, limit, (inputs, outputs))

    weights = {
        "w1": layer(FEATURES, HIDDEN), "b1": np.zeros(HIDDEN),
        "w2": layer(HIDDEN, objective.width), "b2": np.zeros(objective.width),
    }  # fmt: skip
    if "logits" in objective.arguments:
        weights |= {"w3": layer(objective.width, CLASSES), "b3": np.zeros(CLASSES)}
    if "centers" in objective.arguments:
        weights["centers"] = np.zeros((CLASSES, objective.width))
    return weights


def val_at_far(embeddings: Array, labels: Array, far: float = 1e-2) -> float:
    """Return VAL(t), the share of same-digit pairs with d <= t, at the largest t with FAR(t) <= far (S20)."""
    i, j = np.triu_indices(len(labels), 1)
    d = np.sum((embeddings[i] - embeddings[j]) ** 2, axis=1)
    same = labels[i] == labels[j]
    different = np.sort(d[~same])
    beyond = different[int(far * different.size)]  # the first pair that t may not reach
    val, reached = reference.verification_rates(d, same, np.array([np.nextafter(beyond, -np.inf)]))
    assert reached[0] <= far
    return float(val[0])
