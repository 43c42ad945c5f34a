"""The joint loss: the sum of three losses of the same package, and what each framework must bear."""

import os

import numpy as np
import pytest

from lossproof import reference

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def draw(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((8, 3), (8, 4), (3, 4))]
    return arrays[0], arrays[1], rng.integers(0, 3, 8), arrays[2]


def test_s19_the_reference_is_the_recipe_typed_again():
    logits, x, labels, centers = draw()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = 0.9 * np.eye(3)[labels] + 0.1 / 3
    own = -(target * np.log(p)).sum(1).mean()
    d = np.linalg.norm(x[:, None] - x, axis=-1)
    same = labels[:, None] == labels
    other = same & ~np.eye(8, dtype=bool)
    hinges = [max(0.0, 0.3 + d[a][other[a]].max() - d[a][~same[a]].min()) for a in range(8) if other[a].any()]
    pull = ((x - centers[labels]) ** 2).sum(1).mean()
    want = own + np.mean(hinges) + 5e-4 * pull
    np.testing.assert_allclose(reference.joint_loss(logits, x, labels, centers), want, rtol=1e-13)


def test_the_parts_are_the_losses_of_their_own_pages():
    logits, x, labels, centers = draw()
    mask = np.arange(8) != 3
    options = {"triplet_weight": 0.5, "center_weight": 0.25, "triplet_margin": 1.0, "label_smoothing": 0.2}
    value, gradients = reference.joint_loss(logits, x, labels, centers, mask=mask, **options, cotangent=2.0)
    own, of_own = reference.cross_entropy_loss(logits, labels, label_smoothing=0.2, mask=mask, cotangent=2.0)
    triplet, of_triplet = reference.batch_hard_triplet_loss(x, labels, margin=1.0, mask=mask, cotangent=2.0)
    pull, of_pull = reference.center_loss(x, labels, centers, factor=1.0, mask=mask, cotangent=2.0)
    np.testing.assert_allclose(value, own + 0.5 * triplet + 0.25 * pull, rtol=1e-15)
    np.testing.assert_array_equal(gradients["logits"], of_own["logits"])
    np.testing.assert_array_equal(gradients["centers"], 0.25 * of_pull["centers"])
    both = 0.5 * of_triplet["embeddings"] + 0.25 * of_pull["embeddings"]
    np.testing.assert_array_equal(gradients["embeddings"], both)


@pytest.mark.filterwarnings("ignore")
def test_the_torch_module_saves_compiles_and_reads_no_device():
    torch = pytest.importorskip("torch")
    from lossproof.backends.torch import JointLoss, joint_loss

    logits, x, labels, _ = (torch.tensor(a) for a in draw(np.float32))
    loss, other = JointLoss(3, 4, center_weight=0.5), JointLoss(3, 4, center_weight=0.5)
    other.load_state_dict(loss.state_dict())
    value = loss(logits, x, labels)
    assert torch.equal(other(logits, x, labels), value)
    value.backward()
    assert loss.centers.grad is not None
    compiled = torch.compile(loss, fullgraph=True)(logits, x, labels)
    np.testing.assert_allclose(compiled.detach(), value.detach(), rtol=1e-6)
    assert loss(logits.bfloat16(), x, labels).dtype == torch.float32
    assert joint_loss(*(a.to("meta") for a in (logits, x, labels, loss.centers))).shape == ()
    with pytest.raises(ValueError, match="center_weight must be"):
        JointLoss(3, 4, center_weight=-1.0)


def test_every_option_is_a_leaf_in_jax():
    jax = pytest.importorskip("jax")
    from lossproof.backends.jax import JointLoss

    arrays = draw(np.float32)
    loss = JointLoss(triplet_weight=0.5, center_weight=0.25)
    assert len(jax.tree.leaves(loss)) == 4
    jitted = jax.jit(lambda loss, *arrays: loss(*arrays))(loss, *arrays)
    want = reference.joint_loss(*arrays, triplet_weight=0.5, center_weight=0.25)
    np.testing.assert_allclose(jitted, want, rtol=1e-5)
    with pytest.raises(ValueError, match="label_smoothing must be"):
        JointLoss(label_smoothing=2.0)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras itself, saving a variable
def test_a_keras_model_adds_the_layer_to_its_loss():
    tf = pytest.importorskip("tensorflow")
    import keras

    from lossproof.backends.tensorflow import JointLoss

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed, self.head = keras.layers.Dense(4), keras.layers.Dense(2)
            self.joint = JointLoss(2, 4, center_weight=0.01)

        def call(self, inputs):
            points, labels = inputs
            x = self.embed(points)
            self.add_loss(self.joint(self.head(x), x, labels))
            return x

    keras.utils.set_random_seed(0)
    points = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    labels = (points[:, 0] > 0).astype("int64")
    model = Model()
    model.compile(optimizer=keras.optimizers.Adam(0.05))
    history = model.fit((points, labels), epochs=6, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    again = JointLoss.from_config(model.joint.get_config())
    assert again.get_config() == model.joint.get_config()
    assert tuple(again.centers.shape) == (2, 4)
    assert not tf.reduce_any(tf.math.is_nan(model.joint.centers))
