"""Center loss and OIM in JAX: what is compiled, differentiated and carried as a pytree."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from lossproof.backends.jax import CenterLoss, OIMLoss, update_centers, update_oim_memory  # noqa: E402

X = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]], "float32")
Y = np.array([1, 0, 1], "int32")
C = np.array([[1.0, 0.0], [1.0, -1.0], [5.0, 5.0]], "float32")
ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]], "float32")  # for OIM
LABELS = np.array([0, -1, 0, -1], "int32")


def test_center_loss_compiles_differentiates_and_carries_its_options():
    loss = CenterLoss(factor=0.5, reduction="sum")
    value, gradient = jax.jit(jax.value_and_grad(lambda c, loss: loss(X, Y, c)))(C, loss)
    assert (float(value), gradient.tolist()) == (7.5, [[-2.0, 0.0], [1.0, -4.0], [0.0, 0.0]])
    assert jax.tree.map(lambda leaf: 2 * leaf, loss).factor == 1.0
    assert not jax.grad(lambda c: update_centers(c, X, Y, alpha=0.25).sum())(C).any()
    assert jax.eval_shape(update_centers, C, X, Y).shape == (3, 2)


def test_center_options_are_checked_at_construction():
    with pytest.raises(ValueError, match=r"^ceiling must be in \[2, inf\], got 1.0"):
        CenterLoss(floor=2.0, ceiling=1.0)


def test_oim_update_is_traced_without_reading_and_carries_no_gradient():
    def total(x):
        table, queue, _ = update_oim_memory(ROWS[:3], ROWS[:3], jax.numpy.int32(1), x, jax.numpy.asarray(LABELS))
        return table.sum() + queue.sum()

    assert not jax.jit(jax.grad(total))(jax.numpy.asarray(ROWS)).any()
    batches = jax.vmap(
        lambda x: update_oim_memory(ROWS[:3], ROWS[:3], jax.numpy.int32(1), x, jax.numpy.asarray(LABELS))
    )
    assert batches(jax.numpy.stack([ROWS, 2 * ROWS]))[0].shape == (2, 3, 2)
    loss = jax.jit(lambda loss: loss(ROWS, LABELS, ROWS[:3], ROWS[:3]))(OIMLoss(temperature=0.5))
    assert loss.shape == ()


def test_oim_options_are_checked_at_construction():
    with pytest.raises(ValueError, match=r"^temperature must be in \(0, inf\), got 0"):
        OIMLoss(temperature=0)
