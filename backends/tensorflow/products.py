"""Matrix products that ambient switches do not degrade (CV-20)."""

from __future__ import annotations

import tensorflow as tf


def products(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return the inner product of each row of x with each row of y: (B, D), (C, D) -> (B, C).

    TensorFlow multiplies float32 matrices in TF32 on a GPU unless told otherwise; there the products are float64.
    """
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    if x.dtype == tf.float32 and tf32 and tf.config.list_physical_devices("GPU"):
        return tf.cast(tf.matmul(tf.cast(x, tf.float64), tf.cast(y, tf.float64), transpose_b=True), x.dtype)
    return tf.matmul(x, y, transpose_b=True)
