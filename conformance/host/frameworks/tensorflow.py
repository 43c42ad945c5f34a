"""Cases in TensorFlow: eager, XLA, stacked, in graphs old and new, in forward mode, and under switches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from lossproof.conformance.host.arrays import INTEGERS
from lossproof.conformance.host.frameworks import NotALoss, Request, flat, wired

_SEED = 20261122
_NAMES = ["float64", "float32", "float16", "bfloat16"]
_ONCE = ("stacked", "graph", "forward")  # modes without second derivatives


class TensorFlow:
    """Runs functions of tensors; `tf.GradientTape` gives the gradients that are judged."""

    name = "tensorflow"

    def __init__(self, device: str):
        if device != "cpu" and not tf.config.list_physical_devices("GPU"):
            raise ImportError(f"TensorFlow sees no device {device}")
        self.version, self.device = tf.__version__, device
        self.dtypes, self.integers, self.orders = list(_NAMES), list(INTEGERS), [0, 1, 2]
        self.modes = ["eager", "compiled", "unknown_batch", "stacked", "graph", "forward", "ambient", "strict"]
        self.effort = 0.5  # a new structure costs a compilation, or nearly
        self._compiled: dict[Any, Callable[..., Any]] = {}
        tf.random.set_seed(_SEED)  # now and not at each audit: it drops what is compiled

    def forget(self) -> None:
        """Drop what was compiled: another implementation follows."""
        self._compiled.clear()

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; its derivative is that of the sum of all float results."""
        native = {name: tensor(array, dtype) for name, (array, dtype) in ask.inputs.items()}
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
            result["gradients"] = {name: named(tf.convert_to_tensor(g)) for name, g in gradients.items()}
        result["changed"] = [] if drawn == _states() else ["TensorFlow's random state"]
        return result

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case."""
        if ask.order == 2 and ask.mode in _ONCE:
            return {"unsupported": f"no second derivatives in mode {ask.mode}"}
        drawn = _advanced() if ask.audit else ()
        with tf.device(self._place()):
            native = {name: tensor(array, dtype) for name, (array, dtype) in ask.inputs.items()}
            rows = {name: tensor for name, tensor in native.items() if tensor.dtype.is_floating}
            rest = {name: tensor for name, tensor in native.items() if name not in rows}
            along = {name: tensor(ask.tangents[name], ask.inputs[name][1]) for name in rows} if ask.order == 2 else {}
            seed = tf.constant(0.0 if ask.cotangent is None else ask.cotangent)  # a graph takes no None
            value, gradients, second = self._called(ask, (rows, rest, seed, along))

        result: dict[str, Any] = {"value": named(value)}
        if ask.order:
            result["gradients"] = {name: named(gradient) for name, gradient in gradients.items()}
        if ask.order == 2:
            result["second"] = {name: named(h) for name, h in second.items()}
        if ask.audit and drawn != _states():
            result["changed"] = ["TensorFlow's random state"]
        return result

    def _called(self, ask: Request, arguments: Any) -> tuple[Any, Any, Any]:
        """Return value, gradients and second derivatives in the mode that is asked for."""
        if ask.mode in ("eager", "ambient", "strict"):
            with _switched(ask.mode):
                found: tuple[Any, Any, Any] = self._derive(ask.function, ask.order)(*arguments)
            return found
        rows, rest, seed, _ = arguments
        structure = (ask.mode, ask.key, ask.order, *((n, t.shape, t.dtype) for n, t in {**rows, **rest}.items()))
        if structure not in self._compiled:
            make = {"graph": self._session, "forward": self._forward, "stacked": self._stacked}.get(
                ask.mode, self._graph
            )
            self._compiled[structure] = make(ask, arguments)
        if ask.mode == "stacked":
            arguments = *({n: _stack(t) for n, t in part.items()} for part in (rows, rest)), seed
        called: tuple[Any, Any, Any] = self._compiled[structure](*arguments)
        return called

    def _place(self) -> str:
        return "/GPU:0" if self.device == "cuda" else "/CPU:0"

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process."""
        return {
            "Keras' floatx": keras.backend.floatx(),
            "Keras' policy": keras.mixed_precision.global_policy().name,
            "TensorFlow's tf.config.run_functions_eagerly": tf.config.functions_run_eagerly(),
            "TensorFlow's TF32": tf.config.experimental.tensor_float_32_execution_enabled(),
        }

    def _graph(self, ask: Request, arguments: Any) -> Any:
        derive = self._derive(ask.function, ask.order)
        if ask.mode == "compiled":
            return tf.function(derive, jit_compile=True)

        def unknown(tensor: Any) -> Any:
            known = tensor.shape[-1:] if tensor.shape.rank and tensor.dtype.is_floating else ()
            return tf.TensorSpec([None] * (tensor.shape.rank - len(known)) + list(known), tensor.dtype)

        return tf.function(derive, input_signature=tf.nest.map_structure(unknown, arguments))

    def _stacked(self, ask: Request, _: Any) -> Any:
        """Return the call of one case in the middle of a stack of three."""
        derive = self._derive(ask.function, ask.order)

        def call(rows: Any, rest: Any, seed: Any) -> Any:
            whole = tf.vectorized_map(lambda each: derive(*each, seed, {}), (rows, rest))
            return tf.nest.map_structure(lambda part: part[1], whole)

        return tf.function(call)

    def _session(self, ask: Request, arguments: Any) -> Any:
        """Return the call as TensorFlow 1 makes it: a graph of placeholders, its gradients, and a session."""
        graph = tf.Graph()
        with graph.as_default(), tf.device(self._place()):
            rows, rest, seed = tf.nest.map_structure(
                lambda t: tf.compat.v1.placeholder(t.dtype, t.shape), tuple(arguments[:3])
            )
            value = _loss(ask.function(**rows, **rest))
            product = _weighted(value, seed)
            derived = tf.gradients(product, list(rows.values()), unconnected_gradients="zero") if ask.order else []
            gradients = dict(zip(rows, map(tf.convert_to_tensor, derived), strict=False))
        session, empty = tf.compat.v1.Session(graph=graph), {}  # type: ignore[var-annotated]

        def call(*given: Any) -> Any:
            fed = zip(tf.nest.flatten((rows, rest, seed)), tf.nest.flatten(given[:3]), strict=True)
            fetched = session.run((value, gradients), {place: tensor.numpy() for place, tensor in fed})
            return *tf.nest.map_structure(tf.constant, fetched), empty

        return call

    def _forward(self, ask: Request, _: Any) -> Any:
        """Return the call whose gradients are put together from forward mode, one entry of an input after the other."""

        def along(rows: Any, rest: Any, tangents: Any) -> Any:
            with tf.autodiff.ForwardAccumulator(list(rows.values()), list(tangents.values())) as forward:
                value = _loss(ask.function(**rows, **rest))
            return value, forward.jvp(value, unconnected_gradients="zero")

        forwards = tf.function(along)

        def call(rows: Any, rest: Any, seed: Any, _: Any) -> Any:
            zeros = {name: np.zeros(row.shape) for name, row in rows.items()}

            def one(name: str, entry: Any) -> Any:
                tangents = {**zeros, name: zeros[name].copy()}
                tangents[name][entry] = 1.0
                return forwards(rows, rest, {n: tf.cast(tangents[n], rows[n].dtype) for n in rows})[1]

            value = forwards(rows, rest, {n: tf.zeros_like(row) for n, row in rows.items()})[0]
            gradients = {}
            for name in zeros if ask.order else ():
                sums = [
                    _weighted(tf.cast(one(name, entry), tf.float64), seed) for entry in np.ndindex(zeros[name].shape)
                ]
                gradients[name] = tf.cast(
                    tf.reshape(tf.stack(sums) if sums else zeros[name], zeros[name].shape), rows[name].dtype
                )
            return value, gradients, {}

        return call

    def _derive(self, function: Any, order: int) -> Any:
        def derive(rows: Any, rest: Any, seed: Any, along: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(rows)
                with tf.GradientTape(watch_accessed_variables=False) as inner:
                    inner.watch(rows)
                    value = _loss(function(**rows, **rest))
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


@contextmanager
def _switched(mode: str) -> Iterator[None]:
    """Set what a mode switches for the whole process, and set it back.

    Under `strict` a tf.function runs eagerly: a graph that is made then would look for NaN ever after.
    """
    policy, eagerly = keras.mixed_precision.global_policy(), tf.config.functions_run_eagerly()
    try:
        if mode == "ambient":
            keras.mixed_precision.set_global_policy("mixed_bfloat16")
        if mode == "strict":
            tf.config.run_functions_eagerly(True)
            tf.debugging.enable_check_numerics()
        yield
    finally:
        if mode == "strict":
            tf.debugging.disable_check_numerics()
            tf.config.run_functions_eagerly(eagerly)
        keras.mixed_precision.set_global_policy(policy)


def _stack(tensor: Any) -> Any:
    """Return an input between two others that are legal too: other rows, and labels of another composition."""
    rolled = tf.roll(tensor, 1, 0)
    if tensor.dtype.is_floating:
        return tf.stack([tf.reverse(tensor, [0]), tensor, rolled])
    return tf.stack([rolled, tensor, tf.broadcast_to(tensor[:1], tensor.shape)])


def _loss(value: Any) -> Any:
    if not tf.is_tensor(value):
        raise NotALoss(f"the loss returned {type(value).__name__}, not a tensor")
    return value


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


def tensor(array: Any, dtype: str) -> Any:
    """Return an array as a tensor of a dtype."""
    return tf.constant(array) if array.dtype.kind != "f" else tf.cast(tf.constant(array), dtype)


def _wired(tensor: Any) -> tuple[Any, str]:
    return named(tensor) if tensor.dtype.name in _NAMES else wired(tensor.numpy())


def named(tensor: Any) -> tuple[Any, str]:
    """Return a tensor as float64, and its dtype."""
    if tensor.dtype.name not in _NAMES:
        raise NotALoss(f"the loss returned {tensor.dtype.name}, not a float tensor")
    return tf.cast(tensor, tf.float64).numpy(), tensor.dtype.name
