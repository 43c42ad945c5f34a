"""The form in which Keras hands over labels and losses, shared by the classes and by the functions behind them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar

import keras
import numpy as np
import tensorflow as tf

from lossproof.backends.tensorflow.arrays import spoilt

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


def _flat(labels: Any, rows: Any) -> Any:
    on_host = isinstance(labels, np.ndarray)
    labels = labels if on_host else tf.convert_to_tensor(labels)
    rank = labels.ndim if on_host else labels.shape.rank
    if rank is None:  # Keras forgets the shape of some labels; the number of them is checked
        return tf.reshape(labels, tf.shape(rows)[:1])
    return labels[:, 0] if rank == 2 and labels.shape[-1] == 1 else labels


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


def refuse_weights(sample_weight: Any, function: str) -> NoReturn:
    """Raise ValueError for weights of rows, which `fit` makes of a `class_weight` too."""
    raise ValueError(
        f"sample_weight must be None, got {type(sample_weight).__name__}: leave sample_weight and class_weight out of "
        f"fit, and weights out of its data. To weigh terms, call {function}(..., reduction='none') in a train_step of "
        f"your own; to leave rows out there, use mask of {function}"
    )


class LabelLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of one prediction (B, D) and its labels, as `model.compile(loss=...)` and `fit` use it.

    Labels may be (B,) or (B, 1), integers or whole numbers in floats. Keras casts labels to floats before `call`, so
    this takes integers before that, each as it is; of floats, those below 2^24 in float32, 2^11 in float16 and 2^8 in
    bfloat16, and any other label makes its row NaN. There is no mask: the function is the way to leave rows out.
    """

    function: ClassVar[Callable[..., tf.Tensor]]
    stands_for: ClassVar[str] = ""  # the public function, where that is another
    taken: ClassVar[Callable[..., tuple[Any, Any]]] = staticmethod(taken)  # from what Keras gives
    example: ClassVar[tuple[Any, Any]] = (np.zeros((0, 1), np.float32), np.zeros((0,), np.int32))

    def __init__(self, *, reduction: str, name: str, **options: Any) -> None:
        super().__init__(name=name, reduction="none")
        self.reduction, self.options = reduction, options  # Keras knows three of the four reductions
        type(self).function(*self.example, reduction=reduction, **options)  # an illegal option is refused here

    def __call__(self, y_true: Any, y_pred: tf.Tensor, sample_weight: Any = None) -> tf.Tensor:
        """Return the loss of the rows in `y_pred` with the labels `y_true`; `sample_weight` is refused."""
        if sample_weight is not None:
            refuse_weights(sample_weight, type(self).stands_for or type(self).function.__name__)
        return self._reduced(y_true, y_pred, self.reduction)

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the terms, whatever the reduction; the form in which Keras asks for losses."""
        return self._reduced(y_true, y_pred, "none")

    def _reduced(self, y_true: Any, y_pred: tf.Tensor, reduction: str) -> tf.Tensor:
        labels, rows = type(self).taken(y_true, y_pred)
        with tf.name_scope(self.name):
            return type(self).function(rows, labels, reduction=reduction, **self.options)

    def get_config(self) -> dict[str, Any]:
        """Return the options, from which `from_config` builds an equal loss."""
        return {**self.options, "reduction": self.reduction, "name": self.name}
