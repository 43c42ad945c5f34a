"""The mined triplet losses as Keras uses them: compile, fit, save, load."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")
backend = pytest.importorskip("lossproof.backends.tensorflow")

ROWS = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
LABELS = np.arange(16) % 4


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras itself, saving a variable
@pytest.mark.parametrize("name", ["BatchHardTripletLoss", "SemiHardTripletLoss", "BatchAllTripletLoss"])
def test_model_is_trained_saved_and_loaded(name, tmp_path):
    keras.utils.set_random_seed(0)
    loss = getattr(backend, name)(margin=0.5, distance="cosine")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss=loss)
    before = model.get_weights()[0]
    history = model.fit(ROWS, LABELS, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert not np.array_equal(model.get_weights()[0], before)  # a mined loss need not fall: it mines again
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").loss
    assert loaded.get_config() == loss.get_config()
    assert float(loaded(LABELS, ROWS)) == float(loss(LABELS[:, None], ROWS))
