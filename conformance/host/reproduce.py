"""The line that shows a finding without the judge: the same call, typed in the framework itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.ranks import own_rows
from lossproof.conformance.host.reproduce_modes import DERIVED, MODES
from lossproof.conformance.host.reproduce_ranks import filled, jax_code, launched, tensorflow_code, torch_code
from lossproof.spec import losses

_IMPORTS = {
    "torch": "import torch",
    "jax": 'import jax, jax.numpy as jnp; jax.config.update("jax_enable_x64", True)',
    "tensorflow": "import tensorflow as tf",
    "numpy": "import numpy as np",
    "paddle": "import paddle",
    "mlx": "import mlx.core as mx",
}
_ARRAYS = {
    "torch": "torch.tensor({0}, dtype=torch.{1}){2}",
    "jax": 'jnp.array({0}, "{1}"){2}',
    "tensorflow": 'tf.reshape(tf.constant({0}, "{1}"), {3})',
    "numpy": 'np.array({0}, "{1}"){2}',
    "paddle": 'paddle.to_tensor({0}, "{1}"){2}',
    "mlx": "mx.array({0}, dtype=mx.{1}){2}",
}
_GRADIENTS = {
    "torch": "[x.requires_grad_() for x in r.values()]; v = f(**r{0}); print(v); "
    "v.backward(torch.tensor({1}, dtype=v.dtype)); print({{k: x.grad for k, x in r.items()}})",
    "jax": "v, pull = jax.vjp(lambda r: f(**r{0}), r); print(v, pull(jnp.array({1}, v.dtype)))",
    "tensorflow": "t = tf.GradientTape(); t.__enter__(); t.watch(r); v = f(**r{0}); "
    "print(v, t.gradient(v, r, tf.constant({1}, v.dtype)))",
    "numpy": "print(f(**r{0}, cotangent=np.array({1})))",
    "paddle": '[setattr(x, "stop_gradient", False) for x in r.values()]; v = f(**r{0}); '
    "print(v, paddle.grad(v, [*r.values()], paddle.to_tensor({1}, v.dtype), allow_unused=True))",
    "mlx": "v = f(**r{0}); print(v, mx.vjp(lambda *a: f(**dict(zip(r, a)){0}), [*r.values()], "
    "[mx.array({1}, dtype=v.dtype)])[1])",
}
# of a function that is no loss: the sum of all float results
_RESULTS = {
    "torch": "[x.requires_grad_() for x in r.values()]; v = f(**r{0}); print(v); "
    "s = [x.double().sum() for x in (v if isinstance(v, tuple) else [v]) if x.requires_grad]; "
    "s and sum(s).backward(); print({{k: x.grad for k, x in r.items()}})",
    "jax": "print(f(**r{0}), jax.grad(lambda r: sum(x.sum().astype(float) for x in jax.tree.leaves(f(**r{0})) "
    "if jnp.issubdtype(x.dtype, jnp.floating)))(r))",
    "tensorflow": "t = tf.GradientTape(); t.__enter__(); t.watch(r); v = f(**r{0}); "
    "print(v, t.gradient([x for x in tf.nest.flatten(v) if x.dtype.is_floating], r))",
}


def is_wider(case: Case, name: str) -> bool:
    """Whether an input is a table that is wider than the embeddings (CV-26), and not labels or a mask of floats."""
    given = losses()[case.loss].inputs.get(name, {}) if case.loss in losses() else {}
    return given.get("kind") == "float" and case.dtypes[name] in FORMATS


def line(target: str, hello: Mapping[str, Any], case: Case) -> str:
    """Return a shell line that makes the call of a case and prints what comes back."""
    framework = hello.get("framework", "")
    if framework not in _IMPORTS or case.loss not in hello.get("origin", {}):
        messages = ({"type": "hello", "protocol": 1}, case.message(1))
        return f"printf '%s\\n' {' '.join(shlex.quote(json.dumps(m)) for m in messages)} | {_absolute(target)}"
    load = _loaded(*hello["origin"][case.loss])
    own = {spec_name: name for name, spec_name in hello.get("rename", {}).items()}
    differentiable = [
        n for n, a in case.inputs.items() if a.dtype.kind == "f" and (n not in case.dtypes or is_wider(case, n))
    ]
    rows = {own.get(n, n): _array(framework, case.inputs[n], case.dtype_of(n)) for n in differentiable}
    rest = {
        own.get(n, n): _array(framework, a, case.dtype_of(n)) for n, a in case.inputs.items() if n not in differentiable
    }
    rest |= {own.get(n, n): json.dumps(v) if isinstance(v, str) else repr(v) for n, v in case.parameters.items()}
    others = "".join(f", {name}={text}" for name, text in rest.items())
    if case.split:
        return _over_ranks(hello, case, load)
    seed = np.asarray(1.0 if case.cotangent is None else case.cotangent).tolist()
    here = (framework, case.mode)
    plain = case.mode in ("eager", "compiled", "captured", "functional", "ambient")
    asked = case.order > 0 and rows and (plain or here in MODES or here in DERIVED)
    derived = _RESULTS.get(framework, "") if case.results else DERIVED.get(here, _GRADIENTS[framework])
    valued = "print(tf.compat.v1.Session().run(f(**r{0})))" if case.mode == "graph" else "print(f(**r{0}))"
    ending = (derived if asked else valued).format(others, seed)
    aligned = [own.get(n, n) for n in losses()[case.loss].aligned] if case.loss in losses() else []
    transformed = _in_order(hello.get("positional", {}).get(case.loss))
    transformed += MODES.get(here, "").replace("@rows", json.dumps(aligned))
    given = ", ".join(f"{name}={text}" for name, text in rows.items())
    code = f"{_IMPORTS[framework]}; from math import inf, nan; {load}; {transformed}r = dict({given}); {ending}"
    return f"python -c {shlex.quote(code)}"


def _loaded(module: str, expression: str) -> str:
    """Return code that calls the function `f`; where the module is an import statement, the expression is all of it."""
    expression = expression.replace("'", '"')  # the code stands between single quotes of the shell
    if module.startswith(("import ", "from ")):
        return f"{module}; f = {expression}"
    if module.endswith(".py"):
        loading = f"import runpy, types; m = types.SimpleNamespace(**runpy.run_path({json.dumps(module)}))"
    else:
        loading = f"import {module} as m"
    return f"{loading}; f = m.{expression}"


def _over_ranks(hello: Mapping[str, Any], case: Case, load: str) -> str:
    """Return the line of a batch that is spread over processes."""
    framework, own = hello["framework"], {spec: name for name, spec in hello.get("rename", {}).items()}
    keyword = case.loss in hello.get("ranks", {}).get("keyword", ())
    aligned = losses()[case.loss].aligned
    spread = filled(case) if framework == "jax" else case

    def texts(array_of: Callable[[str], Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the code of the differentiable arrays, and of all other arguments."""
        rows: dict[str, str] = {}
        rest: dict[str, str] = {}
        for name, array in spread.inputs.items():
            differentiable = array.dtype.kind == "f" and (name not in case.dtypes or is_wider(case, name))
            part = rows if differentiable else rest
            part[own.get(name, name)] = _array(framework, array_of(name), spread.dtype_of(name))
        options = {own.get(n, n): json.dumps(v) if isinstance(v, str) else repr(v) for n, v in case.parameters.items()}
        return rows, {**rest, **options}

    if framework == "tensorflow":
        parts = [
            texts(lambda n: own_rows(case.inputs[n], case.split, rank) if n in aligned else case.inputs[n])  # noqa: B023
            for rank in range(len(case.split))
        ]
        code = tensorflow_code(load, parts, case, keyword=keyword)
    else:
        write = torch_code if framework == "torch" else jax_code
        rows, rest = texts(lambda n: spread.inputs[n])
        code = write(load, rows, rest, spread, keyword=keyword, aligned=[own.get(n, n) for n in aligned])
    return launched(framework, code, case)


def _absolute(command: str) -> str:
    """Return a command with the files in it named by absolute paths, for a shell that stands elsewhere."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(str(Path(word).resolve()) if "/" in word and Path(word).is_file() else word for word in words)


def _in_order(names: list[str] | None) -> str:
    """Return code that gives the inputs by position, where no keyword reaches them."""
    return (
        f"f = (lambda g: lambda **k: g(*[k.pop(n) for n in {json.dumps(names)} if n in k], **k))(f); " if names else ""
    )


def _array(framework: str, array: Any, dtype: str) -> str:
    numbers = "[]" if array.size == 0 else _numbers(array)
    shape = f".reshape({array.shape})" if array.size == 0 else ""
    return _ARRAYS[framework].format(numbers, dtype, shape, list(array.shape))


def _numbers(array: Any) -> str:
    """Return the numbers of an array; those of a long one, which repeats itself, once."""
    if array.ndim == 1 and len(array) > 1000:
        for period in range(1, 100):
            if np.array_equal(array[period:], array[:-period]):
                return f"({array[:period].tolist()} * {len(array) // period + 1})[:{len(array)}]"
    return str(array.tolist())
