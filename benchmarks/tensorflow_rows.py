"""The rows of TensorFlow: value and gradient in one `tf.function`, plain and compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tensorflow as tf

import lossproof.backends.tensorflow as ours
from benchmarks.rows import MATRIX, OURS, Row, Step

WIDTH = 128


def rows() -> Iterator[Row]:
    """Yield the rows, from given rows to mined ones."""
    triple = partial(_drawn, *[(1024, 512)] * 3)
    for where, compiled in (("function", False), ("XLA", True)):
        steps = {
            "composite": _made(triple, 3, _composite, compiled),
            OURS: _made(triple, 3, ours.triplet_margin_loss, compiled),
        }
        yield Row("triplet_margin", f"tensorflow {where}", "1024 × 512", steps, 1.0)
    losses = {"batch_all": ours.batch_all_triplet_loss, "semi_hard": ours.semi_hard_triplet_loss}
    for name, loss in losses.items():
        for count, each in ((512, 4), (1024, 8)):
            inputs = partial(_labelled, count, each)
            steps = {
                MATRIX: _made(inputs, 1, _matrix, False),
                OURS: _made(inputs, 1, partial(loss, max_positives=each - 1), False),
            }
            yield Row(name, "tensorflow function", f"{count} / {each} × {WIDTH}", steps, 2.5)


def _drawn(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(tf.random.stateless_normal(shape, (0, number)) for number, shape in enumerate(shapes))


def _labelled(count: int, each: int) -> tuple[Any, ...]:
    return (*_drawn((count, WIDTH)), tf.range(count) % (count // each))


def _composite(a: Any, p: Any, n: Any) -> Any:
    near, far = (tf.norm(a - row + 1e-6, axis=-1) for row in (p, n))
    return tf.reduce_mean(tf.nn.relu(1.0 + near - far))


def _matrix(rows: Any, labels: Any) -> Any:
    squares = tf.reduce_sum(rows * rows, axis=-1)
    product = tf.matmul(rows, rows, transpose_b=True)
    return tf.reduce_sum(tf.sqrt(tf.maximum(squares[:, None] + squares - 2 * product, 1e-12)))


def _made(
    inputs: Callable[[], tuple[Any, ...]], differentiable: int, loss: Callable[..., Any], compiled: bool
) -> Callable[[], Step]:
    def make() -> Step:
        given = inputs()

        @tf.function(jit_compile=compiled)
        def step(*given: Any) -> Any:
            asked = given[:differentiable]
            with tf.GradientTape() as tape:
                tape.watch(asked)
                value = loss(*given)
            return value, tape.gradient(value, asked)

        return lambda: [part.numpy() for part in tf.nest.flatten(step(*given))]

    return make
