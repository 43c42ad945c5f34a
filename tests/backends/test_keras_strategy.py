"""The Keras classes under a strategy: what `fit` makes of their losses, beside a loss of Keras itself.

TensorFlow takes the number of its logical devices once a process, so this file is also the program that each test
starts: it runs the checks named `check_...`, each of which states a fact about W replicas, or about two. `fit` runs
in a graph on two replicas, and eagerly on four and on one, where a graph takes longer to be made than to be used.
"""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")
    import keras

import lossproof.backends.tensorflow as backend

B, D = 8, 6
X = np.random.default_rng(0).standard_normal((B, D)).astype("float32")
ONE_EACH = np.array([0, 1, 0, 1, 0, 1, 0, 1])  # of two and of four replicas, each has rows of both classes
LABELS = np.array([0, 1, 1, 0, 2, 2, 0, 1])  # and here not
LABEL_LOSSES = {
    "BatchHardTripletLoss": {"margin": 2.0},
    "BatchAllTripletLoss": {"margin": 2.0},
    "SemiHardTripletLoss": {"margin": 2.0},
    "CircleLoss": {"gamma": 4.0},
    "CrossEntropyLoss": {},
}
LOSSES = {**LABEL_LOSSES, "TripletMarginLoss": {}, "ContrastiveLoss": {}, "SoftCrossEntropyLoss": {}}


@pytest.mark.parametrize("replicas", [2, 4])
def test_keras_under_a_strategy(replicas):
    done = subprocess.run([sys.executable, __file__, str(replicas)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.count("\n") == (8 if replicas == 2 else 4)  # of the checks, each says its name


# one step of fit


def strategy(replicas):
    if replicas == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(
        [f"CPU:{place}" for place in range(replicas)], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def stepped(replicas, loss, y, x=X, weights=None, steps=1):
    """Return the gradient of the weights of a linear model and the loss that one step of `fit` reports."""
    with strategy(replicas).scope():
        model = keras.Sequential([keras.Input((D,)), keras.layers.Dense(D, use_bias=False)])
        start = np.eye(D, dtype="float32")
        model.set_weights([start])
        model.compile(keras.optimizers.SGD(1.0), loss=loss, run_eagerly=replicas != 2)
    said = model.fit(x, y, sample_weight=weights, batch_size=B, shuffle=False, verbose=0, epochs=steps).history["loss"]
    return start - model.get_weights()[0], np.array(said)


def given(name):
    """Return what `fit` takes as `y` for a loss."""
    if name == "SoftCrossEntropyLoss":
        return np.abs(X)
    return ONE_EACH


def squares(reduction):
    return keras.losses.MeanSquaredError(reduction=reduction)


def close(found, want, said, budget=2e-6):
    assert np.allclose(found, want, rtol=0, atol=budget * max(np.abs(want).max(), 1e-3)), f"{said}: {found}, not {want}"


# the checks


def check_a_row_loss_is_scaled_as_those_of_keras(replicas):
    """The terms of rows do not depend on the replica: one device and W differ as with Keras' own loss."""
    for ours, theirs in (("mean", "mean"), ("none", "none"), ("sum", "sum"))[: 3 if replicas == 2 else 1]:
        scale = [stepped(n, squares(theirs), X[::-1]) for n in (1, replicas)]
        of_gradient = np.abs(scale[1][0]).sum() / np.abs(scale[0][0]).sum()
        of_report = scale[1][1] / scale[0][1]
        rows = ("CrossEntropyLoss", "TripletMarginLoss", "SoftCrossEntropyLoss")
        for name in rows if ours == "mean" and replicas == 2 else rows[:1]:
            loss = getattr(backend, name)(reduction=ours)
            one, many = (stepped(n, loss, given(name)) for n in (1, replicas))
            close(many[0], of_gradient * one[0], f"gradient of {name} {ours}", 1e-5)
            close(many[1], of_report * one[1], f"report of {name} {ours}", 1e-5)


def check_of_two_weights_are_those_of_keras(replicas):
    weights = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 1.5, 0.25, 1.0], "float32")
    for reduction in ("mean", "mean_with_sample_weight"):
        ours = backend.CrossEntropyLoss(reduction=reduction)
        theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        one, other = (stepped(replicas, loss, LABELS, weights=weights) for loss in (ours, theirs))
        close(one[0], other[0], f"gradient {reduction}", 1e-5)
        close(one[1], other[1], f"report {reduction}", 1e-5)


def check_of_two_label_losses_run_on_the_rows_of_each_replica(replicas):
    """A mean is that of the replicas' own means, which are those of the functions on their rows."""
    parts = np.split(np.arange(B), replicas)
    for name, options in LABEL_LOSSES.items():
        for y in (ONE_EACH, ONE_EACH[:, None].astype("float32"))[: 2 if name == "CircleLoss" else 1]:
            loss = getattr(backend, name)(**options)
            gradients, values = [], []
            for part in parts:
                x = tf.Variable(np.eye(D, dtype="float32"))
                with tf.GradientTape() as tape:
                    value = loss(y[part], tf.matmul(X[part], x))
                gradients.append(tape.gradient(value, x).numpy())
                values.append(value.numpy())
            found = stepped(replicas, loss, y)
            close(found[0], np.mean(gradients, axis=0), f"gradient of {name}", 1e-5)
            close(found[1], np.mean(values), f"report of {name}", 1e-5)


def check_across_replicas_a_step_is_that_of_one_device(replicas):
    for name, options in list(LOSSES.items())[:: 1 if replicas == 2 else 5]:
        y = given(name) if name in ("SoftCrossEntropyLoss", "ContrastiveLoss") else LABELS
        for reduction in ("mean", "sum", "none") if name == "CircleLoss" else ("mean",):
            loss = getattr(backend, name)(**options, reduction=reduction, across_replicas=True)
            assert type(loss).from_config(loss.get_config()).get_config()["across_replicas"] is True
            one, many = (stepped(n, loss, y) for n in (1, replicas))
            close(many[0], one[0], f"gradient of {name} {reduction}", 1e-5)
            if reduction != "none":  # of terms Keras reports W times the mean, of its own losses too
                close(many[1], one[1], f"report of {name} {reduction}", 1e-5)


class WithLayer(keras.Model):
    """A linear model that adds the loss of a layer."""

    def __init__(self, layer, moves):
        super().__init__()
        self.dense, self.layer, self.moves = keras.layers.Dense(D, use_bias=False), layer, moves

    def call(self, inputs):
        x, labels = inputs
        rows = self.dense(x)
        self.add_loss(
            self.layer(rows, rows, labels) if type(self.layer).__name__ == "JointLoss" else self.layer(rows, labels)
        )
        if self.moves:
            self.layer.update(tf.stop_gradient(rows), labels)
        return rows


LAYERS = {
    "ArcFaceLoss": lambda **options: backend.ArcFaceLoss(D, D, scale=4.0, **options),
    "CosFaceLoss": lambda **options: backend.CosFaceLoss(D, D, scale=4.0, **options),
    "CenterLoss": lambda **options: backend.CenterLoss(D, D, **options),
    "OIMLoss": lambda **options: backend.OIMLoss(D, 2, D, temperature=1.0, **options),
    "JointLoss": lambda **options: backend.JointLoss(D, D, **options),
}


def layered(replicas, name, moves=False, steps=1, **options):
    """Return all weights after steps of `fit`, those of each replica."""
    keras.utils.set_random_seed(0)
    used = strategy(replicas)
    with used.scope():
        layer = LAYERS[name](**options)
        layer.trainable = not moves
        model = WithLayer(layer, moves)
        model.dense.build((None, D))
        tables = [np.random.default_rng(3).standard_normal(w.shape) for w in layer.weights if "int" not in str(w.dtype)]
        layer.set_weights(tables + [np.zeros((), int)] * (len(layer.weights) - len(tables)))
        model.dense.set_weights([np.eye(D)])
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=replicas != 2)
    # Keras lets the threads of the replicas share the list of added losses, so where a replica waits for the others
    # before it adds its loss, what `fit` reports counts some of them twice; no gradient does.
    model.fit([X, LABELS], batch_size=B, epochs=steps, shuffle=False, verbose=0)
    weights = [*model.dense.weights, *layer.weights]
    return [[x.numpy() for x in used.experimental_local_results(w.value)] for w in weights]


def check_layers_across_replicas_take_the_steps_of_one_device(replicas):
    for name in ("ArcFaceLoss", "CenterLoss", "OIMLoss", "JointLoss")[:: 1 if replicas == 2 else 3]:
        one, many = (layered(n, name, across_replicas=True, steps=2) for n in (1, replicas))
        for a, b in zip(many, one, strict=True):
            assert len({x.tobytes() for x in a}) == 1, name
            close(a[0], b[0], f"weights of {name}", 1e-5)


def check_the_state_of_a_layer_is_the_same_on_all_replicas(replicas):
    for name in ("CenterLoss", "OIMLoss"):
        one, many = (layered(n, name, moves=True, across_replicas=True, steps=3) for n in (1, replicas))
        for a, b in zip(many, one, strict=True):
            assert len(a) == replicas
            assert len({x.tobytes() for x in a}) == 1, name
            close(a[0], b[0], f"state of {name}", 1e-5)


def check_of_two_a_state_that_would_drift_apart_is_refused(replicas):
    for name in ("CenterLoss", "OIMLoss"):
        with pytest.raises(RuntimeError, match="update needs across_replicas=True of the layer"):
            layered(replicas, name, moves=True)
        with strategy(replicas).scope():  # beside no other replica it moves all copies alike
            layer = LAYERS[name]()
            layer.update(X, LABELS)


def check_of_two_a_replica_context_is_needed(replicas):
    with strategy(replicas).scope(), pytest.raises(RuntimeError, match="across_replicas needs a replica context"):
        backend.CircleLoss(across_replicas=True)(LABELS, X)


def main(replicas, chosen=""):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    tf.get_logger().setLevel("ERROR")
    for name, check in list(globals().items()):
        if name.startswith(f"check_{chosen}") and (replicas == 2 or "_of_two_" not in name):
            check(replicas)
            print(name, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
