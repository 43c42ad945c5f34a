"""The form in which Keras hands over labels and losses, shared by the classes and by the functions behind them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossproof.backends.tensorflow.arrays import arithmetic, describe, spoilt
from lossproof.backends.tensorflow.distributed import across, as_compiled
from lossproof.backends.tensorflow.graphs import as_written
from lossproof.backends.tensorflow.reductions import OverNumber
from lossproof.backends.tensorflow.weights import checked_on_host
from lossproof.spec.arguments import FLOAT_DTYPES, INTEGER_DTYPES, REDUCTIONS, check_bool, check_choice, check_weights

P = ParamSpec("P")
T = TypeVar("T")
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}  # below 2 to this power, each integer is itself


def taken(labels: Any, rows: Any) -> tuple[Any, Any]:
    """Return labels (B,), also where they are (B, 1) or whole numbers in floats, and the rows that they belong to.

    A row whose label is no whole number, or one that its dtype cannot tell from the next, becomes NaN.
    """
    labels = _flat(labels, rows)
    if labels.dtype.name not in _DIGITS:
        return labels, rows
    labels, rows = tf.convert_to_tensor(labels), tf.convert_to_tensor(rows)
    whole = tf.equal(labels, tf.round(labels)) & (tf.abs(labels) < 2.0 ** _DIGITS[labels.dtype.name])
    integers = tf.cast(tf.where(whole, labels, tf.zeros_like(labels)), tf.int64)
    return integers, spoilt(rows, ~whole[:, tf.newaxis])


def taken_weights(name: str, weights: Any, **rows: Any) -> tf.Tensor | None:
    """Return weights (B,) that are as wide as their rows, also where they are (B, 1), integers or narrower floats."""
    if weights is None:
        return None
    ((like, value),) = rows.items()
    units, weights = describe(like, value)[0][:1], _flat(weights, value)
    shape, given = describe(name, weights)
    if given not in (*FLOAT_DTYPES, *INTEGER_DTYPES, "bool"):
        raise TypeError(f"{name} must have a dtype of floats, integers or booleans, got {given}")
    dtype = arithmetic(value, weights)
    check_weights(name, shape, dtype.name, units, like, dtype.name)
    return tf.cast(weights, dtype)


def sample_weights(weights: Any, **rows: Any) -> tf.Tensor | None:
    """Return the `sample_weight` of a Keras loss as its function takes it; numbers out of range are an error here."""
    weights = taken_weights("sample_weight", weights, **rows)
    if weights is not None:
        checked_on_host("sample_weight", weights, None)
    return weights


def _flat(values: Any, rows: Any) -> Any:
    on_host = isinstance(values, np.ndarray)
    values = values if on_host else tf.convert_to_tensor(values)
    rank = values.ndim if on_host else values.shape.rank
    if rank is None:  # Keras forgets the shape of some labels and weights; the number of them is checked
        return tf.reshape(values, tf.shape(rows)[:1])
    return values[:, 0] if rank == 2 and values.shape[-1] == 1 else values


def check_reduction(reduction: str, of_function: tuple[str, ...]) -> None:
    """Check the reduction of a class, which has one more than its function: CV-27."""
    check_choice("reduction", reduction, (*of_function, "mean_with_sample_weight"))


def for_function(reduction: str) -> str:
    """Return what the function calls a reduction of the class, whose other means are over the number of terms."""
    return "mean" if reduction == "mean_with_sample_weight" else OverNumber(reduction)


def for_compile(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function say which Keras loss belongs into `compile`, where Keras would call it as one."""
    return _instead(f"{name}() belongs into compile(loss=...)")


def for_layer(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function say which layer a Keras model takes, where Keras would call it as a loss."""
    return _instead(f"the layer {name} belongs into the model, and its result into add_loss")


def _instead(what: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Refuse (y_true, y_pred), as Keras calls a loss: labels first and as floats. No legal call looks like that."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        given = inspect.signature(function).parameters.values()
        required = sum(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in given)

        @as_written
        @functools.wraps(function)
        def called(*args: P.args, **options: P.kwargs) -> T:
            if len(args) == 2 and not options and all(map(_of_floats, args[-1:] if required == 2 else args)):
                name = getattr(function, "__name__", "the loss")
                raise TypeError(f"{name} must be called with its own arguments, got two as Keras gives them: {what}")
            return function(*args, **options)

        return called

    return decorate


def _of_floats(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "name", "") in _DIGITS


class LabelLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of one prediction (B, D) and its labels, as `model.compile(loss=...)` and `fit` use it.

    Labels may be (B,) or (B, 1), integers or whole numbers in floats. Keras casts labels to floats before `call`, so
    this takes integers before that, each as it is; of floats, those below 2^24 in float32, 2^11 in float16 and 2^8 in
    bfloat16, and any other label makes its row NaN. There is no mask: the function is the way to leave rows out.

    `sample_weight`, which `fit` makes of a `class_weight` too, may be (B,) or (B, 1), floats, integers or booleans.

    In the replicas of a strategy a mean is over the rows of one, divided by the number of replicas, as with the losses
    of Keras. With `across_replicas` the batch is spread over them, and the loss is the share of one.
    """

    function: ClassVar[Callable[..., tf.Tensor]]
    reductions: ClassVar[tuple[str, ...]] = REDUCTIONS  # of the function
    taken: ClassVar[Callable[..., tuple[Any, Any]]] = staticmethod(taken)  # from what Keras gives
    example: ClassVar[tuple[Any, Any]] = (np.zeros((0, 1), np.float32), np.zeros((0,), np.int32))

    def __init__(self, *, reduction: str, across_replicas: bool, name: str, **options: Any) -> None:
        check_reduction(reduction, self.reductions)
        check_bool("across_replicas", across_replicas)
        super().__init__(name=name, reduction="none")
        self.reduction, self.options = reduction, options  # Keras does not know all of the reductions
        self.across_replicas = across_replicas
        self._function(*self._example(), reduction=for_function(reduction))  # an illegal option is refused here

    @as_written
    def __call__(self, y_true: Any, y_pred: tf.Tensor, sample_weight: Any = None) -> tf.Tensor:
        """Return the loss of the rows in `y_pred` with the labels `y_true`."""
        return self._reduced(y_true, y_pred, self.reduction, sample_weight)

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the terms, whatever the reduction; the form in which Keras asks for losses."""
        return self._reduced(y_true, y_pred, "none")

    def _reduced(self, y_true: Any, y_pred: tf.Tensor, reduction: str, sample_weight: Any = None) -> tf.Tensor:
        labels, rows = type(self).taken(y_true, y_pred)
        units: dict[str, Any] = {
            "weights": sample_weights(sample_weight, y_pred=rows),
            "reduction": for_function(reduction),
            "across_replicas": across(self.across_replicas),
        }
        with tf.name_scope(self.name):
            return as_compiled(self._function(rows, labels, **units), reduction, self.across_replicas)

    def _function(self, rows: Any, labels: Any, **units: Any) -> tf.Tensor:
        return type(self).function(rows, labels, **units, **self.options)

    def _example(self) -> tuple[Any, Any]:
        return self.example

    def get_config(self) -> dict[str, Any]:
        """Return the options, from which `from_config` builds an equal loss."""
        across_replicas = {"across_replicas": self.across_replicas}
        return {**self.options, "reduction": self.reduction, **across_replicas, "name": self.name}


class ClassesLoss(LabelLoss):
    """A loss of logits (B, K) that takes weights of their classes; its configuration has them as a list of numbers."""

    of_rows: ClassVar[bool] = False  # whether a row of targets, and no label, belongs to each row of logits

    def __init__(self, class_weights: Any, *, reduction: str, across_replicas: bool, name: str, **options: Any) -> None:
        self.class_weights = None if class_weights is None else _numbers("class_weights", class_weights)
        super().__init__(reduction=reduction, across_replicas=across_replicas, name=name, **options)

    def get_config(self) -> dict[str, Any]:
        """Return the options, from which `from_config` builds an equal loss."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return {"class_weights": weights, **super().get_config()}

    def _function(self, rows: Any, labels: Any, **units: Any) -> tf.Tensor:
        return super()._function(rows, labels, **units, class_weights=self.class_weights)

    def _example(self) -> tuple[Any, Any]:
        classes = 1 if self.class_weights is None or not self.class_weights.ndim else len(self.class_weights)
        logits = np.zeros((0, max(classes, 1)), np.float32)
        return logits, logits if self.of_rows else np.zeros(0, np.int32)


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Return numbers on the host as float64, which holds those of any rows."""
    found = np.asarray(values)
    if found.dtype.name not in (*FLOAT_DTYPES, *INTEGER_DTYPES):
        raise TypeError(f"{name} must be numbers, got {found.dtype}")
    return found.astype(np.float64)
