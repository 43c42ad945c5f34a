"""The Keras layers that hold centers or a memory."""

import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
X = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]], "float32")
Y = np.array([1, 0, 1], "int32")
C = np.array([[1.0, 0.0], [1.0, -1.0], [5.0, 5.0]], "float32")
ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]], "float32")  # for OIM
LABELS = np.array([0, -1, 0, -1], "int32")


# center loss


@pytest.fixture
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow")
        import keras
    return keras


def layer(**options):
    from lossproof.backends.tensorflow import CenterLoss

    found = CenterLoss(3, 2, factor=0.5, reduction="sum", **options)
    found.centers.assign(C)
    return found


@pytest.mark.parametrize("labels", [Y, Y[:, None]], ids=["(B,)", "(B, 1)"])
def test_center_layer_returns_the_loss(keras, labels):
    assert float(layer()(X, labels)) == 7.5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_center_layer_keeps_its_precision_under_a_policy(keras, policy):
    found = layer(dtype=policy)(X + np.float32(2**-20), Y)
    assert (found.dtype, float(found)) == ("float32", pytest.approx(7.5 + 4 * 2**-20, abs=2e-6))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["CenterLoss", "ArcFaceLoss", "CosFaceLoss", "OIMLoss", "JointLoss"])
def test_a_layer_reads_its_tables_in_full_under_a_policy(keras, name, policy):
    import lossproof.backends.tensorflow as backend

    sizes = (3, 4, 2) if name == "OIMLoss" else (3, 2)
    plain, mixed = (getattr(backend, name)(*sizes, dtype=dtype) for dtype in ("float32", policy))
    numbers = np.random.default_rng(0)  # no half format has their last digits
    tables = [numbers.normal(size=w.shape) if "float" in w.dtype else np.zeros(w.shape) for w in plain.weights]
    plain.set_weights(tables)
    mixed.set_weights(tables)
    given = (np.eye(3, dtype="float32"), X, Y) if name == "JointLoss" else (X, Y)
    assert float(mixed(*given)) == float(plain(*given))


@pytest.mark.filterwarnings("ignore")
def test_center_model_with_centers_is_fitted_saved_and_loaded(keras, tmp_path):
    rows, labels = keras.Input((2,)), keras.Input((), dtype="int32")
    from lossproof.backends.tensorflow import CenterLoss

    keras.utils.set_random_seed(0)
    embeddings = keras.layers.Dense(2)(rows)
    model = keras.Model([rows, labels], CenterLoss(3, 2, name="center")(embeddings, labels))
    model.compile(keras.optimizers.SGD(0.1), loss=lambda _, value: value)
    history = model.fit([X, Y], np.zeros(3), epochs=8, batch_size=3, verbose=0).history["loss"]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert history[-1] < 0.5 * history[0]
    assert np.array_equal(again.get_layer("center").centers, model.get_layer("center").centers)
    assert float(again([X, Y])) == float(model([X, Y]))


def test_center_update_moves_the_weight(keras):
    found = layer()
    found.update(X[:1], Y[:1], alpha=1.0)
    assert np.asarray(found.centers).tolist() == [[1.0, 0.0], [1.0, 0.5], [5.0, 5.0]]


# OIM


@pytest.mark.filterwarnings("ignore")
def test_oim_layer_trains_updates_saves_and_loads(keras, tmp_path):
    import tensorflow as tf

    from lossproof.backends.tensorflow import OIMLoss

    keras.utils.set_random_seed(0)
    rows, labels = keras.Input((2,)), keras.Input((), dtype="int32")
    normed = keras.layers.UnitNormalization(name="embedding")(keras.layers.Dense(2)(rows))
    model = keras.Model([rows, labels], OIMLoss(3, 3, 2, temperature=0.5, name="oim")(normed, labels))
    encoder = keras.Model(rows, normed)
    memory, optimizer, losses = model.get_layer("oim"), keras.optimizers.SGD(0.5), []

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model([ROWS, LABELS])
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        memory.update(encoder(ROWS), tf.constant(LABELS))
        return loss

    losses = [float(step()) for _ in range(5)]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert (int(memory.head), len(model.trainable_variables), losses[0] > losses[-1]) == (10 % 3, 2, True)
    assert all(np.array_equal(a, b) for a, b in zip(memory.weights, again.get_layer("oim").weights, strict=True))


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None]], ids=["(B,)", "(B, 1)"])
def test_oim_layer_of_an_empty_memory_gives_the_logarithm_of_its_size(keras, labels):
    from lossproof.backends.tensorflow import OIMLoss

    layer = OIMLoss(3, 3, 2, dtype="mixed_bfloat16")
    assert float(layer(ROWS, labels)) == pytest.approx(np.log(6), abs=1e-6)
