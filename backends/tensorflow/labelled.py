"""The form in which Keras hands over labels, shared by the classes of the losses that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf


def flat(labels: Any, rows: tf.Tensor) -> Any:
    """Return the labels of rows as an array or a tensor of shape (B,), also where they are (B, 1)."""
    on_host = isinstance(labels, np.ndarray)
    labels = labels if on_host else tf.convert_to_tensor(labels)
    rank = labels.ndim if on_host else labels.shape.rank
    if rank is None:  # Keras forgets the shape of some labels; the number of them is checked
        return tf.reshape(labels, tf.shape(rows)[:1])
    return labels[:, 0] if rank == 2 and labels.shape[-1] == 1 else labels


class LabelLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of one prediction (B, D) and its labels, as `model.compile(loss=...)` and `fit` use it.

    Keras casts labels to floats before `call`, so this takes them before that; they may be (B,) or (B, 1). There is no
    mask: the function is the way to leave rows out.
    """

    function: ClassVar[Callable[..., tf.Tensor]]
    example: ClassVar[tuple[Any, Any]] = (np.zeros((0, 1), np.float32), np.zeros((0,), np.int32))

    def __init__(self, *, reduction: str, name: str, **options: Any) -> None:
        super().__init__(name=name, reduction="none")
        self.reduction, self.options = reduction, options  # Keras knows three of the four reductions
        type(self).function(*self.example, reduction=reduction, **options)  # an illegal option is refused here

    def __call__(self, y_true: Any, y_pred: tf.Tensor, sample_weight: Any = None) -> tf.Tensor:
        """Return the loss of the rows in `y_pred` with the labels `y_true`; `sample_weight` is refused."""
        if sample_weight is not None:
            raise ValueError(
                "sample_weight must be None (to leave rows out, use mask of the function), "
                f"got {type(sample_weight).__name__}"
            )
        return self._reduced(y_true, y_pred, self.reduction)

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the terms, whatever the reduction; the form in which Keras asks for losses."""
        return self._reduced(y_true, y_pred, "none")

    def _reduced(self, y_true: Any, y_pred: tf.Tensor, reduction: str) -> tf.Tensor:
        labels = flat(y_true, y_pred)
        with tf.name_scope(self.name):
            return type(self).function(y_pred, labels, reduction=reduction, **self.options)

    def get_config(self) -> dict[str, Any]:
        """Return the options, from which `from_config` builds an equal loss."""
        return {**self.options, "reduction": self.reduction, "name": self.name}
