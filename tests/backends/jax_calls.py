"""One call of every loss in JAX, and what the reference gives for it: what the tests of its transformations share."""

from functools import partial

import numpy as np

import lossproof.backends.jax as backend
import lossproof.reference as reference

RNG = np.random.default_rng(0)
B, D, C = 8, 3, 4
ROWS = {name: RNG.standard_normal((B, D)) for name in ("x", "y", "z")}
UNIT = ROWS["x"] / np.linalg.norm(ROWS["x"], axis=1, keepdims=True)
LOGITS, TABLE, QUEUE = RNG.standard_normal((B, C)), RNG.standard_normal((C, D)), RNG.standard_normal((2, D))
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 3])
TARGETS = 0.1 + np.abs(np.roll(LOGITS, 1, axis=0))
MASK = np.array([True, True, False, True, True, True, True, True])

mined = {"embeddings": ROWS["x"], "labels": LABELS}
CALLS = {
    "triplet": ("triplet_margin_loss", dict(zip(("anchor", "positive", "negative"), ROWS.values(), strict=True)), {}),
    "triplet-3": ("triplet_margin_loss", dict(zip(("anchor", "positive", "negative"), ROWS.values(), strict=True)),
        {"p": 3.0, "swap": True}),
    "triplet-soft": ("triplet_margin_loss", dict(zip(("anchor", "positive", "negative"), ROWS.values(), strict=True)),
        {"soft_margin": True, "swap": True}),
    "contrastive": ("contrastive_loss", {"x1": ROWS["x"], "x2": ROWS["y"], "dissimilar": LABELS % 2 == 1}, {}),
    "hard": ("batch_hard_triplet_loss", mined, {}),
    "hard-soft": ("batch_hard_triplet_loss", mined, {"soft_margin": True, "include_self": True, "floor": 1e-12}),
    "hard-cosine": ("batch_hard_triplet_loss", mined, {"distance": "cosine"}),
    "all": ("batch_all_triplet_loss", mined, {"reduction": "mean_nonzero"}),
    "all-direct": ("batch_all_triplet_loss", mined, {"pairwise": "direct"}),
    "all-few": ("batch_all_triplet_loss", mined, {"max_positives": 3}),
    "semi": ("semi_hard_triplet_loss", mined, {}),
    "semi-direct": ("semi_hard_triplet_loss", mined, {"pairwise": "direct", "distance": "euclidean"}),
    "semi-soft": ("semi_hard_triplet_loss", mined, {"soft_margin": True, "reduction": "mean_nonzero"}),
    "circle": ("circle_loss", mined, {"gamma": 8.0}),
    "circle-weights": ("circle_loss", mined, {"gamma": 8.0, "detach_weights": False, "reduction": "mean_nonzero"}),
    "center": ("center_loss", {**mined, "centers": TABLE}, {}),
    "center-bounds": ("center_loss", {**mined, "centers": TABLE}, {"floor": 0.5, "ceiling": 4.0}),
    "oim": ("oim_loss", {"embeddings": UNIT, "labels": LABELS - 1, "lookup_table": TABLE, "queue": QUEUE}, {}),
    "arcface": ("arcface_loss", {**mined, "class_weights": TABLE}, {"scale": 4.0}),
    "cosface": ("cosface_loss", {**mined, "class_weights": TABLE}, {"scale": 4.0}),
    "cross-entropy": ("cross_entropy_loss", {"logits": LOGITS, "labels": LABELS}, {}),
    "cross-entropy-smooth": ("cross_entropy_loss", {"logits": LOGITS, "labels": LABELS}, {"label_smoothing": 0.1}),
    "soft": ("soft_cross_entropy_loss", {"logits": LOGITS, "targets": TARGETS}, {}),
    "soft-smooth": ("soft_cross_entropy_loss", {"logits": LOGITS, "targets": TARGETS}, {"label_smoothing": 0.1}),
    "joint": ("joint_loss", {"logits": LOGITS, **mined, "centers": TABLE}, {}),
}  # fmt: skip
BATCHED = {
    "anchor",
    "positive",
    "negative",
    "x1",
    "x2",
    "dissimilar",
    "embeddings",
    "labels",
    "logits",
    "targets",
    "mask",
}
CONSTANT = {"lookup_table", "queue"}  # of OIM, whose gradient reaches the embeddings alone


def call(name, *, masked=False, dtype=np.float32, batch=B):
    """Return the function of a call with its options, its rows and its other inputs."""
    loss, inputs, options = CALLS[name]
    inputs = {**inputs, **({"mask": MASK} if masked else {})}
    inputs = {n: a[:batch] if n in BATCHED else a for n, a in inputs.items()}
    rows = {n: a.astype(dtype) for n, a in inputs.items() if a.dtype.kind == "f" and n not in CONSTANT}
    rest = {n: a.astype(dtype) if n in CONSTANT else a for n, a in inputs.items() if n not in rows}
    return partial(getattr(backend, loss), **options), rows, rest


def want(name, rows, rest):
    """Return value and gradients of the reference, for the sum of what the call returns."""
    loss, _, options = CALLS[name]
    arrays = {n: np.asarray(a) for n, a in {**rows, **rest}.items()}
    given = {n: a if a.dtype.kind in "biu" else a.astype(np.float64) for n, a in arrays.items()}
    value, gradients = getattr(reference, loss)(**given, **options, cotangent=np.ones(()))
    return value, {n: gradients[n] for n in rows}


def same(found, wanted):
    """Compare value and gradients in float32 with those of the reference."""
    np.testing.assert_allclose(found[0], wanted[0], rtol=2e-5, atol=1e-6)
    for name, gradient in wanted[1].items():
        np.testing.assert_allclose(found[1][name], gradient, rtol=2e-4, atol=2e-5, err_msg=name)
