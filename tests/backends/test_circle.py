"""Circle loss: the formula typed again, its gradient as a difference, and what is particular to each framework."""

import math
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the frameworks say while they are imported is not ours to mend
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    tf = pytest.importorskip("tensorflow")
    import keras

from lossproof import reference
from lossproof.backends import jax as ours_jax
from lossproof.backends import tensorflow as ours_tf
from lossproof.backends import torch as ours_torch

RNG = np.random.default_rng(0)
ROWS, LABELS = RNG.standard_normal((7, 3)), np.array([0, 0, 1, 1, 1, 2, 0])
MASK = np.array([True, True, True, True, False, True, True])
JITTED = jax.jit(ours_jax.circle_loss, static_argnames=("detach_weights", "reduction"))
WINGS = {
    "reference": reference.circle_loss,
    "torch": lambda x, y, **k: ours_torch.circle_loss(torch.tensor(x), torch.tensor(y), **k).numpy(),
    "jax": lambda x, y, **k: np.asarray(JITTED(x, y, **k)),
    "tensorflow": lambda x, y, **k: ours_tf.circle_loss(tf.constant(x), tf.constant(y), **k).numpy(),
}
of_keras_itself = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # where it saves weights
every_wing = pytest.mark.parametrize("wing", WINGS)


def sun_equation_6(rows, labels, m, gamma, frozen=None):
    """Return the loss of each anchor as the paper prints it; `frozen` rows give the weights."""
    terms = []
    for i in range(len(rows)):
        sums = {True: 0.0, False: 0.0}
        for j in range(len(rows)):
            if i == j:
                continue
            s, s_weight = (
                sum(a * b for a, b in zip(x[i], x[j], strict=True))
                / math.dist(x[i], 0 * x[i])
                / math.dist(x[j], 0 * x[j])
                for x in (rows, rows if frozen is None else frozen)
            )
            if labels[i] == labels[j]:
                sums[True] += math.exp(-gamma * max(1 + m - s_weight, 0) * (s - (1 - m)))
            else:
                sums[False] += math.exp(gamma * max(s_weight - -m, 0) * (s - m))
        terms.append(math.log(1 + sums[False] * sums[True]))
    return terms


@every_wing
@pytest.mark.parametrize(("m", "gamma"), [(0.25, 64.0), (0.4, 8.0), (-0.2, 16.0)])
def test_terms_are_those_of_the_paper_s17(wing, m, gamma):
    with jax.enable_x64(True):
        got = WINGS[wing](ROWS, LABELS, margin=m, gamma=gamma, reduction="none")
    np.testing.assert_allclose(got, sun_equation_6(ROWS, LABELS, m, gamma), rtol=1e-11)


@pytest.mark.parametrize("detach", [True, False])
def test_gradient_is_a_difference_of_the_paper_with_its_weights_held_or_not(detach):
    _, gradients = reference.circle_loss(ROWS, LABELS, gamma=8.0, reduction="sum", detach_weights=detach, cotangent=1.0)
    for place in np.ndindex(ROWS.shape):
        step = np.zeros_like(ROWS)
        step[place] = 1e-6
        up, down = (
            sum(sun_equation_6(x, LABELS, 0.25, 8.0, ROWS if detach else None)) for x in (ROWS + step, ROWS - step)
        )
        assert gradients["embeddings"][place] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


@every_wing
def test_default_scale_does_not_overflow_in_float32(wing):
    rows = np.array([[1, 0], [-1, 0], [1, 0]], np.float32)
    assert WINGS[wing](rows, np.array([0, 0, 1]), reduction="sum") == pytest.approx(1248 + 1008)


@every_wing
def test_a_term_that_float32_rounds_to_0_is_counted(wing):
    rows = np.array([[1, 0], [1, 0], [-1, 0], [0, 1]], np.float32)
    got = WINGS[wing](rows, np.array([0, 0, 1, 1]), gamma=4096.0, reduction="mean_nonzero")
    assert got == pytest.approx(1856.34657359)


# torch


def test_torch_reads_no_value():
    rows = torch.empty(5, 3, device="meta", requires_grad=True)
    labels, mask = torch.empty(5, dtype=torch.int64, device="meta"), torch.empty(5, dtype=torch.bool, device="meta")
    loss = ours_torch.CircleLoss(gamma=64.0, reduction="mean_nonzero", detach_weights=False)
    loss(rows, labels, mask).backward()
    assert (rows.grad.shape, loss.state_dict()) == ((5, 3), {})


def test_torch_compiles_into_one_graph():
    rows, labels, mask = torch.tensor(ROWS).requires_grad_(), torch.tensor(LABELS), torch.tensor(MASK)
    compiled = torch.compile(ours_torch.circle_loss, fullgraph=True, backend="aot_eager")
    results = [function(rows, labels, mask=mask) for function in (compiled, ours_torch.circle_loss)]
    gradients = [torch.autograd.grad(result, rows) for result in results]
    torch.testing.assert_close([results[0], *gradients[0]], [results[1], *gradients[1]])
    torch.compiler.reset()


# jax


def test_jax_precision_of_products_does_not_reach_the_cosines():
    rows, labels = ROWS.astype(np.float32), LABELS
    with jax.default_matmul_precision("bfloat16"):
        program = str(jax.make_jaxpr(jax.grad(ours_jax.circle_loss))(rows, labels))
    assert program.count("dot_general") == program.count("Precision.HIGHEST") // 2 > 0


def test_jax_numbers_are_leaves_and_no_array_is_larger_than_b_by_b():
    loss = ours_jax.CircleLoss(margin=0.4, gamma=80.0)
    assert jax.tree_util.tree_leaves(loss) == [0.4, 80.0]
    rows, labels = np.zeros((16, 8), np.float32), np.arange(16)
    program = jax.make_jaxpr(jax.grad(lambda x: jax.jit(lambda f, x: f(x, labels))(loss, x)))(rows)
    inner = [e for outer in program.eqns for e in (outer.params["jaxpr"].eqns if "jaxpr" in outer.params else [outer])]
    assert max(math.prod(v.aval.shape) for e in inner for v in e.outvars) == 16 * 16


# tensorflow


@pytest.mark.parametrize("jit_compile", [False, True])
def test_tensorflow_takes_an_unknown_batch(jit_compile):
    signature = [tf.TensorSpec((None, 3), tf.float32), tf.TensorSpec((None,), tf.int64)]
    loss = tf.function(ours_tf.circle_loss, input_signature=signature, jit_compile=jit_compile)
    for n in (0, 1, 7):
        want = reference.circle_loss(ROWS[:n].astype(np.float32), LABELS[:n])
        assert loss(ROWS[:n].astype(np.float32), LABELS[:n]).numpy() == pytest.approx(want, rel=1e-5)


@of_keras_itself
def test_keras_trains_saves_and_loads(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=ours_tf.CircleLoss(gamma=8.0, reduction="mean_nonzero"))
    rows = ROWS.astype(np.float32)
    history = model.fit(rows, LABELS[:, None], batch_size=7, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    assert loaded.evaluate(rows, LABELS, batch_size=7, verbose=0) == model.evaluate(
        rows, LABELS, batch_size=7, verbose=0
    )
