"""Cases in TensorFlow: eager, XLA, a graph with an unknown batch size, and under a mixed-precision policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import context

from lossproof.conformance.arrays import INTEGERS
from lossproof.conformance.frameworks import NotALoss, Request, flat, wired

_SEED = 20261122
_NAMES = ["float64", "float32", "float16", "bfloat16"]


class TensorFlow:
    """Runs functions of tensors; `tf.GradientTape` gives the gradients that are judged."""

    def __init__(self, device: str):
        if device != "cpu" and not tf.config.list_physical_devices("GPU"):
            raise ImportError(f"TensorFlow sees no device {device}")
        self.version, self.device = tf.__version__, device
        self.dtypes, self.integers, self.orders = list(_NAMES), list(INTEGERS), [0, 1, 2]
        self.modes = ["eager", "compiled", "unknown_batch", "ambient"]
        self.effort = 0.5  # a new structure costs a compilation, or nearly
        self._compiled: dict[Any, Callable[..., Any]] = {}
        tf.random.set_seed(_SEED)  # now and not at each audit: it drops what is compiled

    def forget(self) -> None:
        """Drop what was compiled: another implementation follows."""
        self._compiled.clear()

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; its derivative is that of the sum of all float results."""
        native = {name: _tensor(array, dtype) for name, (array, dtype) in ask.inputs.items()}
        rows = {name: tensor for name, tensor in native.items() if tensor.dtype.is_floating}
        drawn = _advanced()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(rows)
            found = [tf.convert_to_tensor(part) for part in flat(ask.function(**native))]
            total = sum(
                (tf.reduce_sum(tf.cast(t, tf.float64)) for t in found if t.dtype.is_floating), tf.zeros((), tf.float64)
            )
        result: dict[str, Any] = {"results": [_wired(tensor) for tensor in found]}
        if ask.order:
            gradients = tape.gradient(total, rows, unconnected_gradients="zero")
            result["gradients"] = {name: _named(tf.convert_to_tensor(g)) for name, g in gradients.items()}
        result["changed"] = [] if drawn == _states() else ["TensorFlow's random state"]
        return result

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case."""
        drawn = _advanced() if ask.audit else ()
        with tf.device("/GPU:0" if self.device == "cuda" else "/CPU:0"):
            native = {name: _tensor(array, dtype) for name, (array, dtype) in ask.inputs.items()}
            rows = {name: tensor for name, tensor in native.items() if tensor.dtype.is_floating}
            rest = {name: tensor for name, tensor in native.items() if name not in rows}
            along = {name: _tensor(ask.tangents[name], ask.inputs[name][1]) for name in rows} if ask.order == 2 else {}
            seed = tf.constant(0.0 if ask.cotangent is None else ask.cotangent)  # a graph takes no None
            derive = self._derive(ask.function, ask.order)
            if ask.mode in ("compiled", "unknown_batch"):
                structure = (
                    ask.mode,
                    ask.key,
                    ask.order,
                    tuple((name, t.shape, t.dtype) for name, t in native.items()),
                )
                if structure not in self._compiled:
                    self._compiled[structure] = self._graph(derive, ask.mode, (rows, rest, seed, along))
                value, gradients, second = self._compiled[structure](rows, rest, seed, along)
            else:
                policy = keras.mixed_precision.dtype_policy()
                try:
                    if ask.mode == "ambient":
                        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
                    value, gradients, second = derive(rows, rest, seed, along)
                finally:
                    keras.mixed_precision.set_dtype_policy(policy)

        result: dict[str, Any] = {"value": _named(value)}
        if ask.order:
            result["gradients"] = {name: _named(gradient) for name, gradient in gradients.items()}
        if ask.order == 2:
            result["second"] = {name: _named(h) for name, h in second.items()}
        if ask.audit and drawn != _states():
            result["changed"] = ["TensorFlow's random state"]
        return result

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process."""
        return {
            "Keras' floatx": keras.backend.floatx(),
            "Keras' policy": keras.mixed_precision.dtype_policy().name,
            "TensorFlow's TF32": tf.config.experimental.tensor_float_32_execution_enabled(),
        }

    def _graph(self, derive: Any, mode: str, arguments: Any) -> Any:
        if mode == "compiled":
            return tf.function(derive, jit_compile=True)

        def unknown(tensor: Any) -> Any:
            known = tensor.shape[-1:] if tensor.shape.rank and tensor.dtype.is_floating else ()
            return tf.TensorSpec([None] * (tensor.shape.rank - len(known)) + list(known), tensor.dtype)

        return tf.function(derive, input_signature=tf.nest.map_structure(unknown, arguments))

    def _derive(self, function: Any, order: int) -> Any:
        def derive(rows: Any, rest: Any, seed: Any, along: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(rows)
                with tf.GradientTape(watch_accessed_variables=False) as inner:
                    inner.watch(rows)
                    value = function(**rows, **rest)
                    if not tf.is_tensor(value):
                        raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
                    product = _weighted(value, seed) if order else None
                if not order:
                    return value, {}, {}
                gradients = inner.gradient(product, rows, unconnected_gradients="zero")
                gradients = {n: tf.convert_to_tensor(g) for n, g in gradients.items()}  # a gather has slices
                along_gradient = (
                    tf.add_n([tf.reduce_sum(gradients[name] * along[name]) for name in rows]) if along else None
                )
            second = outer.gradient(along_gradient, rows, unconnected_gradients="zero") if order == 2 else {}
            second = {n: tf.convert_to_tensor(h) for n, h in second.items()}
            return value, gradients, second

        return derive


def _advanced() -> tuple[Any, ...]:
    """Draw once, or a call that sets the seed sets what is set already; then return the random states."""
    tf.random.uniform([])
    return _states()


def _states() -> tuple[Any, ...]:
    """Return the random states; what an operation without a seed draws from has no public name."""
    drawn = context.context()._rng
    return tf.random.get_global_generator().state.numpy().tobytes(), context.global_seed(), drawn and drawn.getstate()


def _weighted(value: Any, seed: Any) -> Any:
    if value.shape.is_fully_defined() and value.shape.num_elements() != seed.shape.num_elements():
        return tf.reduce_sum(value)  # the judge sees the wrong shape of the value first
    return tf.reduce_sum(value * tf.reshape(tf.cast(seed, value.dtype), tf.shape(value)))


def _tensor(array: Any, dtype: str) -> Any:
    return tf.constant(array) if array.dtype.kind != "f" else tf.cast(tf.constant(array), dtype)


def _wired(tensor: Any) -> tuple[Any, str]:
    return _named(tensor) if tensor.dtype.name in _NAMES else wired(tensor.numpy())


def _named(tensor: Any) -> tuple[Any, str]:
    if tensor.dtype.name not in _NAMES:
        raise NotALoss(f"the loss returned {tensor.dtype.name}, not a float tensor")
    return tf.cast(tensor, tf.float64).numpy(), tensor.dtype.name
