"""Cases in JAX: jitted, eager, in each transformation, and under the switches that JAX has. float64 is on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lossproof.conformance.host.arrays import INTEGERS
from lossproof.conformance.host.frameworks import NotALoss, Request, flat, wired

try:
    from jax import export
except ImportError:  # up to 0.4.34 it needs a package that JAX does not ask for
    export = None  # type: ignore[assignment]

FORGET = 2000  # cases; compiled code takes memory maps, of which a Linux process has 65,530, and dies without
_NAMES = ["float64", "float32", "float16", "bfloat16"]
_QUICK = {  # a fifth of the time: code that runs once is not worth optimising, and one processor has one part
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


class Jax:
    """Runs functions of JAX arrays; `jax.vjp` gives the gradients that are judged."""

    name = "jax"

    def __init__(self, device: str):
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        try:
            chosen = jax.devices("gpu" if device == "cuda" else device)[0]
        except RuntimeError as problem:
            raise ImportError(f"JAX sees no device {device}") from problem
        jax.config.update("jax_default_device", chosen)  # type: ignore[no-untyped-call]
        self.version, self.device = jax.__version__, device
        self.dtypes, self.integers, self.orders = list(_NAMES), list(INTEGERS), [0, 1, 2]
        self.modes = ["captured", "compiled", "eager", "vectorised", "stacked", "unknown_batch", "forward"]
        self.modes += ["ambient", "strict"]
        if export is None:
            self.modes.remove("unknown_batch")
        self.effort = 0.34  # a new structure costs a compilation, or nearly
        self.quick = quick() if device == "cpu" else {}
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._asked = 0

    def results(self, ask: Request) -> dict[str, Any]:
        """Call a function that is no loss; its derivative is that of the sum of all float results."""
        self._forget()
        native = {n: jnp.asarray(a, dtype if a.dtype.kind == "f" else a.dtype) for n, (a, dtype) in ask.inputs.items()}
        rows = {name: array for name, array in native.items() if jnp.issubdtype(array.dtype, jnp.floating)}
        rest = {name: array for name, array in native.items() if name not in rows}
        found = [jnp.asarray(part) for part in flat(ask.function(**native))]
        result: dict[str, Any] = {"results": [_wired(part) for part in found]}
        if ask.order:

            def total(rows: Any) -> Any:
                parts = [jnp.asarray(part) for part in flat(ask.function(**rows, **rest))]
                floats = [part for part in parts if jnp.issubdtype(part.dtype, jnp.floating)]
                return sum((jnp.sum(part.astype("float64")) for part in floats), jnp.zeros((), "float64"))

            result["gradients"] = {name: named(gradient) for name, gradient in jax.grad(total)(rows).items()}
        return result

    def run(self, ask: Request) -> dict[str, Any]:
        """Run one case."""
        self._forget()
        native = {
            name: jnp.asarray(array, array.dtype if array.dtype.kind != "f" else dtype)
            for name, (array, dtype) in ask.inputs.items()
        }
        rows = {name: array for name, array in native.items() if jnp.issubdtype(array.dtype, jnp.floating)}
        rest = {name: array for name, array in native.items() if name not in rows}
        along = {name: jnp.asarray(ask.tangents[name], rows[name].dtype) for name in rows} if ask.order == 2 else {}

        if ask.mode == "vectorised":
            value = jax.vmap(lambda given: ask.function(**given))({**rows, **rest})
            return {"value": named(value)}
        plain = self._derive(ask.function, ask.order, forward=ask.mode == "forward")
        ambient = ask.mode == "ambient"
        if ask.mode in ("eager", "strict"):
            with _strict() if ask.mode == "strict" else nullcontext():  # compiled, infinities on the way are not seen
                value, gradients, second = plain(rows, rest, ask.cotangent, along, {})
        elif ask.mode in ("stacked", "unknown_batch"):
            run = self._stacked if ask.mode == "stacked" else self._exported
            value, gradients, second = run(ask, plain, rows, rest, along)
        else:
            with jax.default_matmul_precision("bfloat16") if ambient else nullcontext():
                try:
                    value, gradients, second = self._jitted(ask, plain, native)(rows, rest, along)
                except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
                    if not ambient:
                        raise
                    value, gradients, second = plain(rows, rest, ask.cotangent, along, {})  # not for tracing, and slow

        result: dict[str, Any] = {"value": named(value)}
        if ask.order:
            result["gradients"] = {name: named(gradient) for name, gradient in gradients.items()}
        if ask.order == 2:
            result["second"] = {name: named(h) for name, h in second.items()}
        return result

    def _jitted(self, ask: Request, plain: Any, native: dict[str, Any]) -> Callable[..., Any]:
        """Return the compiled call: one for each structure, with the numbers that may be traced as arguments."""
        numbers = {name: jnp.asarray(number, jnp.float64) for name, number in ask.traced.items()}
        compiled = self._kept(ask, native, lambda: self._jit(ask, plain))
        return lambda rows, rest, along: compiled(rows, rest, ask.cotangent, along, numbers)

    def _kept(self, ask: Request, native: dict[str, Any], make: Callable[[], Any]) -> Any:
        """Return what was compiled for the structure of a case, or make it."""
        shapes = tuple((name, array.shape, array.dtype.name) for name, array in native.items())
        structure = (ask.mode, ask.again, ask.key, ask.order, *ask.traced, shapes)
        if structure not in self._compiled:
            self._compiled[structure] = make()
        return self._compiled[structure]

    def _stacked(self, ask: Request, plain: Any, rows: Any, rest: Any, along: Any) -> Any:
        """Return what a case gives as the second of three whole calls in one `jax.vmap`."""
        numbers = {name: jnp.asarray(number, jnp.float64) for name, number in ask.traced.items()}
        stacks = [{name: _three(name, array, ask.aligned) for name, array in part.items()} for part in (rows, rest)]
        mapped = self._kept(ask, {**rows, **rest}, lambda: self._jit(ask, jax.vmap(plain, (0, 0, None, None, None))))
        found = mapped(*stacks, ask.cotangent, along, numbers)
        return jax.tree.map(lambda array: array[1], found)

    def _exported(self, ask: Request, plain: Any, rows: Any, rest: Any, along: Any) -> Any:
        """Return what a case gives in code that was exported for any number of rows, and is differentiated then."""
        numbers = {name: jnp.asarray(number, jnp.float64) for name, number in ask.traced.items()}

        def make() -> Any:
            (count,) = export.symbolic_shape("rows")
            shapes = [
                {
                    name: _of_any_number(array, count, name in ask.aligned, name == "weights")
                    for name, array in part.items()
                }
                for part in (rows, rest, numbers)
            ]
            called = jax.jit(lambda rows, rest, numbers: _loss_of(ask.function(**rows, **rest, **numbers)))
            stored: Any = export.export(called)(*shapes).call

            def loss(**given: Any) -> Any:
                return stored(*({name: given[name] for name in part} for part in (rows, rest, numbers)))

            return self._jit(ask, self._derive(loss, ask.order))

        return self._kept(ask, {**rows, **rest}, make)(rows, rest, ask.cotangent, along, numbers)

    def _jit(self, ask: Request, function: Any) -> Any:
        """Compile: as JAX does where that is asked for, or asked again; elsewhere with as little work as can be."""
        return jax.jit(function, **({} if ask.again or ask.mode == "compiled" else self.quick))

    def switches(self) -> dict[str, Any]:
        """Return what is set for the whole process."""
        debug = "jax_debug_nans", "jax_debug_infs", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion"
        names = ("jax_enable_x64", "jax_default_matmul_precision", *debug)
        return {f"JAX's {name}": getattr(jax.config, name) for name in names}

    def _forget(self) -> None:
        self._asked += 1
        if self._asked % FORGET == 0:
            self.forget()

    def forget(self) -> None:
        """Drop what was compiled: another implementation follows, or there is too much of it."""
        self._compiled.clear()
        jax.clear_caches()  # type: ignore[no-untyped-call]

    def _derive(self, function: Any, order: int, forward: bool = False) -> Any:
        def derive(rows: Any, rest: Any, cotangent: Any, along: Any, numbers: Any) -> Any:
            def loss(rows: Any) -> Any:
                return _loss_of(function(**rows, **rest, **numbers))

            if not order:
                return loss(rows), {}, {}

            def weighted(rows: Any) -> Any:
                value = loss(rows)
                if np.size(cotangent) != value.size:
                    return jnp.sum(value), value
                return jnp.sum(value * jnp.asarray(cotangent, value.dtype).reshape(value.shape)), value

            def gradient(rows: Any) -> Any:
                if forward:
                    along_each, value = jax.jacfwd(weighted, has_aux=True)(rows)
                    return value, {name: array.astype(rows[name].dtype) for name, array in along_each.items()}
                value, pull = jax.vjp(loss, rows)
                if np.size(cotangent) != value.size:
                    return value, rows
                return value, pull(jnp.asarray(cotangent, value.dtype).reshape(value.shape))[0]

            value, gradients = gradient(rows)
            if order < 2:
                return value, gradients, {}

            def product(rows: Any) -> Any:
                return sum(jnp.sum(g * along[name]) for name, g in gradient(rows)[1].items())

            return value, gradients, jax.grad(product)(rows)

        return derive


def quick() -> dict[str, Any]:
    """Return options of `jax.jit` that make it quick: those that this version of XLA knows."""
    known = {name: value for name, value in _QUICK.items() if _taken({name: value})}
    return {"compiler_options": known} if known else {}


def _taken(options: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda: 0.0, compiler_options=options)()
    except Exception:  # an older jit has another signature, and another XLA other names
        return False
    return True


def _strict() -> ExitStack:
    """Switch on, for a while, all that makes JAX raise where code may be wrong."""
    stack = ExitStack()
    stack.enter_context(jax.numpy_rank_promotion("raise"))
    stack.enter_context(jax.numpy_dtype_promotion("strict"))
    stack.enter_context(jax.debug_nans(True))
    stack.enter_context(jax.debug_infs(True))
    return stack


def _three(name: str, array: Any, aligned: Any) -> Any:
    """Return an input between two others of another order, with other labels and another mask."""
    if name not in aligned:
        return jnp.stack([array] * 3)
    rolled, alike = jnp.roll(array, 1, axis=0), array[jnp.zeros(array.shape[0], int)]
    if array.dtype.kind in "iu":
        return jnp.stack([rolled, array, alike])
    return jnp.stack([array[::-1], array, jnp.ones_like(array) if array.dtype == bool else rolled])


def _of_any_number(array: Any, count: Any, aligned: bool, weights: bool) -> Any:
    """Return the shape of an input whose number of rows is a symbol, and its dtype."""
    features = array.dtype.kind not in "iub" and not weights  # the last axis of an array of rows
    rows = aligned and array.ndim > features
    return jax.ShapeDtypeStruct((count, *array.shape[1:]) if rows else array.shape, array.dtype)  # type: ignore[no-untyped-call]


def _loss_of(value: Any) -> Any:
    if not isinstance(value, jax.Array):
        raise NotALoss(f"the loss returned {type(value).__name__}, not a jax.Array")
    return value


def _wired(array: Any) -> tuple[Any, str]:
    return named(array) if array.dtype.name in _NAMES else wired(np.asarray(array))


def named(array: Any) -> tuple[Any, str]:
    """Return an array as float64, and its dtype."""
    if array.dtype.name not in _NAMES:
        raise NotALoss(f"the loss returned {array.dtype.name}, not a float array")
    return np.asarray(array).astype(np.float64), array.dtype.name
