"""The rows of JAX: jitted value and gradient, labels traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import lossproof.backends.jax as ours
from benchmarks.rows import MATRIX, OURS, Row, Step

WIDTH = 128
MINED = {"batch_hard": ours.batch_hard_triplet_loss, "batch_all": ours.batch_all_triplet_loss}
MINED |= {"semi_hard": ours.semi_hard_triplet_loss, "circle": ours.circle_loss}


def rows() -> Iterator[Row]:
    """Yield the rows, from given rows to mined ones."""
    for count, width in ((4096, 128), (1024, 512), (256, 128)):
        triple = partial(_drawn, *[(count, width)] * 3)
        steps = {
            "optax": _made(triple, 3, lambda *given: jnp.mean(optax.losses.triplet_margin_loss(*given))),
            OURS: _made(triple, 3, ours.triplet_margin_loss),
        }
        yield Row("triplet_margin", "jax jit", f"{count} × {width}", steps, 1.0)
    for name in MINED:
        for count, each in ((512, 4), (1024, 8), (1024, 32)):
            known = {"max_positives": each - 1} if name in ("batch_all", "semi_hard") else {}
            for label, options in {"": known, ", labels traced": {}}.items() if known else {"": {}}.items():
                inputs = partial(_labelled, count, each)
                steps = {MATRIX: _made(inputs, 1, _matrix), OURS: _made(inputs, 1, partial(MINED[name], **options))}
                yield Row(name, f"jax jit{label}", f"{count} / {each} × {WIDTH}", steps, 2.5)


def _drawn(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))


def _labelled(count: int, each: int) -> tuple[Any, ...]:
    return (*_drawn((count, WIDTH)), jnp.arange(count) % (count // each))


def _matrix(rows: Any, labels: Any) -> Any:
    squares = jnp.sum(rows * rows, axis=-1)
    product = jnp.matmul(rows, rows.T, precision="highest")
    return jnp.sum(jnp.sqrt(jnp.maximum(squares[:, None] + squares - 2 * product, 1e-12)))


def _made(inputs: Callable[[], tuple[Any, ...]], differentiable: int, loss: Callable[..., Any]) -> Callable[[], Step]:
    def make() -> Step:
        given, step = inputs(), jax.jit(jax.value_and_grad(loss, argnums=tuple(range(differentiable))))
        return lambda: jax.block_until_ready(step(*given))

    return make
