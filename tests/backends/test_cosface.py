"""CosFace: what each framework's class keeps of its class weights and options."""

import os

import numpy as np
import pytest

from lossproof import reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
RNG = np.random.default_rng(0)
X, W = (RNG.standard_normal(shape).astype(np.float32) for shape in ((6, 4), (3, 4)))
Y = RNG.integers(0, 3, 6)
WANTED = reference.cosface_loss(X, Y, W, scale=8.0, margin=0.2)


def test_the_torch_module_keeps_its_class_weights_and_its_options():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import CosFaceLoss

    loss = CosFaceLoss(3, 4, scale=8.0, margin=0.2)
    loss.load_state_dict({"class_weights": torch.tensor(W)})
    np.testing.assert_allclose(loss(torch.tensor(X), torch.tensor(Y)).detach(), WANTED, rtol=1e-6)
    assert repr(loss) == "CosFaceLoss(3, 4, scale=8.0, margin=0.2, reduction='mean')"
    with pytest.raises(ValueError, match=r"margin must be in \[0, inf\), got -1"):
        CosFaceLoss(3, 4, margin=-1.0)


def test_the_jax_options_are_a_pytree_and_numbers_may_be_traced():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import CosFaceLoss

    loss = CosFaceLoss(scale=8.0, margin=0.2)
    assert sorted(jax.tree.leaves(loss)) == [0.2, 8.0]
    np.testing.assert_allclose(jax.jit(lambda loss, *rows: loss(*rows))(loss, X, Y, W), WANTED, rtol=1e-5)
    with pytest.raises(ValueError, match=r"margin must be in \[0, inf\), got -1"):
        CosFaceLoss(margin=-1.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, while it saves
def test_a_saved_keras_layer_is_the_same_layer(tmp_path):
    pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import CosFaceLoss

    rows, classes = keras.Input((4,)), keras.Input((1,), dtype="int64")
    layer = CosFaceLoss(3, 4, scale=8.0, margin=0.2, name="cosface")
    model = keras.Model([rows, classes], layer(rows, classes))
    layer.set_weights([W])
    np.testing.assert_allclose(model([X, Y[:, None]]), WANTED, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False).get_layer("cosface")
    assert loaded.get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded.class_weights, layer.class_weights)
    with pytest.raises(ValueError, match=r"margin must be in \[0, inf\), got -1"):
        CosFaceLoss(3, 4, margin=-1.0)
