"""A pass for each positive, and the ranks of many, give what the reference gives, on grids where distances tie."""

import numpy as np
import pytest

from lossproof import reference

tf = pytest.importorskip("tensorflow")
from lossproof.backends import tensorflow as backend  # noqa: E402
from lossproof.backends.tensorflow import positives  # noqa: E402
from lossproof.backends.tensorflow.pairwise import distance_matrix  # noqa: E402

LABELS = {
    "runs of every length": [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4],
    "no positives": list(range(12)),
    "one label": [7] * 12,
    "one row": [3],
}
LOSSES = ["batch_all_triplet_loss", "semi_hard_triplet_loss"]


def derived(loss, rows, labels, mask, **options):
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = loss(rows, labels, mask=mask, distance="squared_euclidean", reduction="sum", **options)
    return value, tape.gradient(value, rows)


@pytest.mark.parametrize("most", [0, 2, 16], ids="{} passes".format)
@pytest.mark.parametrize("bound", [None, 11])
@pytest.mark.parametrize("name", LOSSES)
def test_passes_and_ranks_choose_alike_where_distances_tie(monkeypatch, name, bound, most):
    monkeypatch.setattr(positives, "_MOST", most)
    unknown = [tf.TensorSpec([None, 2], tf.float32), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.bool)]
    loss = getattr(backend, name)
    graph = tf.function(lambda *given: derived(loss, *given, max_positives=bound), input_signature=unknown)
    rng = np.random.default_rng(3)
    for labels in LABELS.values():
        labels = rng.permutation(np.array(labels))
        rows = rng.integers(-2, 3, (len(labels), 2)).astype(np.float32)
        for mask in (np.ones(len(labels), bool), rng.random(len(labels)) < 0.7):
            value, gradient = graph(rows, labels, mask)
            wide = rows.astype(np.float64)
            options = {"mask": mask, "distance": "squared_euclidean", "reduction": "sum", "cotangent": 1.0}
            want, gradients = getattr(reference, name)(wide, labels, **options)
            assert float(value) == want
            assert np.array_equal(tf.convert_to_tensor(gradient), gradients["embeddings"])


@pytest.mark.parametrize("name", LOSSES)
def test_a_graph_makes_as_many_passes_as_there_are_positives(monkeypatch, name):
    made, passes = [], positives.Positives.passes

    def counted(self, each, ranked, *start):
        def one(k, *state):
            tf.py_function(made.append, [k], [])
            return each(k, *state)

        return passes(self, one, ranked, *start)

    monkeypatch.setattr(positives.Positives, "passes", counted)
    labels = tf.concat([LABELS["runs of every length"], tf.range(10, 22)], 0)
    tf.function(getattr(backend, name))(tf.random.stateless_normal((24, 2), (0, 1)), labels)
    assert [int(k) for k in made] == [0, 1, 2]


@pytest.mark.parametrize("most", [0, 16])
def test_a_threshold_that_overflows_is_beyond_every_row(monkeypatch, most):
    monkeypatch.setattr(positives, "_MOST", most)
    rows = tf.constant([[0.0], [3e38], [-3e38], [1.0]])
    assert float(backend.batch_all_active_fraction(rows, tf.constant([0, 0, 1, 2]), margin=3e38)) == 1.0


@pytest.mark.parametrize("scale", [2.0**-110, 2.0**-60, 1.0, 2.0**60, 2.0**110])
def test_float32_rows_of_every_size_have_their_distances(scale):
    rows = tf.constant(np.random.default_rng(4).integers(-8, 9, (6, 3)) * scale, tf.float32)
    d = distance_matrix(rows, tf.ones(6, tf.bool), "euclidean", "gram")
    wide = tf.cast(rows, tf.float64)
    np.testing.assert_allclose(d, tf.norm(wide[:, tf.newaxis] - wide, axis=-1), rtol=2e-7)


@pytest.mark.parametrize("share", [1.0, 1e-6, 1e-12])
@pytest.mark.parametrize("scale", [2.0**-58, 2.0**-33, 1.0, 2.0**55])
@pytest.mark.parametrize("name", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_a_small_share_of_a_loss_has_its_gradient_at_every_scale(name, scale, share):
    shape, labels = np.random.default_rng(0).standard_normal((64, 8)), np.arange(64) % 16

    def gradient(share, scale, pairwise):
        rows = tf.constant(shape * scale, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = getattr(backend, name)(rows, labels, pairwise=pairwise, distance="euclidean", margin=scale)
            value = np.float32(share) * value
        return tape.gradient(value, rows).numpy() / np.float32(share)

    want = gradient(1.0, 1.0, "direct")  # what a distance gives its rows is a direction, at every scale
    np.testing.assert_allclose(gradient(share, scale, "gram"), want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
