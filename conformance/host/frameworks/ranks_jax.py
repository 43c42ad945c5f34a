"""A batch over the devices of one process in JAX: blocks of one size along an axis, filled up with masked rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from lossproof.conformance.host.frameworks import Request
from lossproof.conformance.host.frameworks.jax import Jax, named
from lossproof.conformance.host.ranks import AXIS, KEYWORDS, in_blocks, mask_of_all, seed_in_blocks


class JaxRanks:
    """`jax.shard_map` over virtual devices; the gradient is taken outside, of the sum of what the devices return."""

    keyword = KEYWORDS["jax"]
    group = AXIS

    def __init__(self, world: int):
        if len(jax.devices("cpu")) < world:
            raise RuntimeError(f"JAX has {len(jax.devices('cpu'))} devices, not {world}")
        self.adapter, self.world = Jax("cpu"), world
        self.mesh = Mesh(np.array(jax.devices("cpu")[:world]), (AXIS,))
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def run(self, ask: Request, split: list[int]) -> list[dict[str, Any]]:
        """Return value and gradients of each device."""
        most = split[0] if len({*split}) == 1 else sum(split)  # one size for all splits, or each costs a compilation
        inputs = dict(ask.inputs)
        if len({*split}) > 1 and "mask" in ask.aligned and "mask" not in inputs:
            inputs["mask"] = (mask_of_all(inputs[ask.aligned[0]][0]), "bool")
        native = {
            name: jnp.asarray(in_blocks(array, split, most) if name in ask.aligned else array,
                              dtype if array.dtype.kind == "f" else array.dtype)
            for name, (array, dtype) in inputs.items()
        }  # fmt: skip
        rows = {name: array for name, array in native.items() if jnp.issubdtype(array.dtype, jnp.floating)}
        rest = {name: array for name, array in native.items() if name not in rows}
        along = {
            name: jnp.asarray(in_blocks(ask.tangents[name], split, most, 0.0) if name in ask.aligned
                              else ask.tangents[name], rows[name].dtype)
            for name in rows if ask.order == 2
        }  # fmt: skip
        # On the host, since JAX compiles a slice for each of its places.
        value, gradients, second = jax.device_get(self._call(ask, native, split, most)(rows, rest, along))
        found = []
        for rank, own in enumerate(split):
            part: dict[str, Any] = {"value": named(self._own(value[rank], split, most, own))}
            for kind, every in (("gradients", gradients), ("second", second)):
                if every and ask.order:
                    part[kind] = {n: named(self._received(g, n, ask, rank, own, most)) for n, g in every.items()}
            found.append(part)
        return found

    def _call(self, ask: Request, native: dict[str, Any], split: list[int], most: int) -> Callable[..., Any]:
        """Return the compiled call, kept for each structure; where the numbers of rows differ, it is another one."""
        shapes = tuple((name, array.shape, array.dtype.name) for name, array in native.items())
        seed = seed_in_blocks(np.asarray(1.0 if ask.cotangent is None else ask.cotangent), split, most)
        ask = replace(ask, order=max(ask.order, 1))  # one compilation, whether or not the gradient is asked for
        key = (ask.again, ask.key, ask.order, shapes)
        if key not in self._compiled:
            self._compiled[key] = jax.jit(self._derived(ask), **({} if ask.again else self.adapter.quick))
        return lambda rows, rest, along: self._compiled[key](rows, rest, along, seed)

    def _derived(self, ask: Request) -> Callable[..., Any]:
        spec: Any = PartitionSpec
        over = {name: spec(AXIS) if name in ask.aligned else spec() for name in ask.inputs}
        over["mask"] = spec(AXIS)

        def spread(rows: Any, rest: Any) -> Any:
            def on_device(rows: Any, rest: Any) -> Any:
                return ask.function(**rows, **rest)[None]

            specs = tuple({name: over[name] for name in part} for part in (rows, rest))
            mapped = _shard_map(on_device, self.mesh, specs, spec(AXIS), check=self.world == 2)
            return mapped(rows, rest)  # one entry a device

        def derived(rows: Any, rest: Any, along: Any, cotangent: Any) -> Any:
            def gradient(rows: Any) -> Any:
                value, pull = jax.vjp(lambda rows: spread(rows, rest), rows)
                return value, pull(_seed(cotangent, value))[0]

            value, gradients = gradient(rows)
            if ask.order < 2:
                return value, gradients, {}

            def product(rows: Any) -> Any:
                return sum(jnp.sum(g * along[name]) for name, g in gradient(rows)[1].items())

            return value, gradients, jax.grad(product)(rows)

        return derived

    def _own(self, value: Any, split: list[int], most: int, own: int) -> Any:
        """Return what a device returned without the entries of rows that fill up."""
        if not value.ndim:
            return value
        value = value[:own]
        if value.ndim > 1 and value.shape[1] == self.world * most:
            columns = np.concatenate([np.arange(rank * most, rank * most + n) for rank, n in enumerate(split)])
            value = value[:, columns.astype(int)]
        return value

    def _received(self, gradient: Any, name: str, ask: Request, rank: int, own: int, most: int) -> Any:
        """Return the gradient of a device's own rows; that of a table, which is a sum already, on the first alone."""
        if name in ask.aligned:
            return gradient[rank * most : rank * most + own]
        return gradient if rank == 0 else np.zeros_like(gradient)


def _seed(cotangent: Any, value: Any) -> Any:
    """Return the cotangent of what all devices return: (W, ...) values."""
    seed = jnp.asarray(cotangent, value.dtype)
    return jnp.broadcast_to(seed, value.shape) if not seed.ndim else seed.reshape(value.shape)


def _shard_map(function: Any, mesh: Any, specs: Any, out: Any, *, check: bool) -> Any:
    """Return the function over the mesh, with or without JAX's check of what varies: both are in use."""
    if hasattr(jax, "shard_map"):
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=check)
    from jax.experimental import shard_map as older

    spread: Any = older.shard_map  # whose check knows no loops
    return spread(function, mesh=mesh, in_specs=specs, out_specs=out, check_rep=False)
