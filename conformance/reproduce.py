"""The line that shows a finding without the judge: the same call, typed in the framework itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.case import Case
from lossproof.spec import losses

_IMPORTS = {
    "torch": "import torch",
    "jax": 'import jax, jax.numpy as jnp; jax.config.update("jax_enable_x64", True)',
    "tensorflow": "import tensorflow as tf",
    "numpy": "import numpy as np",
}
_ARRAYS = {
    "torch": "torch.tensor({0}, dtype=torch.{1}){2}",
    "jax": 'jnp.array({0}, "{1}"){2}',
    "tensorflow": 'tf.reshape(tf.constant({0}, "{1}"), {3})',
    "numpy": 'np.array({0}, "{1}"){2}',
}
_GRADIENTS = {
    "torch": "[x.requires_grad_() for x in r.values()]; v = f(**r{0}); print(v); "
    "v.backward(torch.tensor({1}, dtype=v.dtype)); print({{k: x.grad for k, x in r.items()}})",
    "jax": "v, pull = jax.vjp(lambda r: f(**r{0}), r); print(v, pull(jnp.array({1}, v.dtype)))",
    "tensorflow": "t = tf.GradientTape(); t.__enter__(); t.watch(r); v = f(**r{0}); "
    "print(v, t.gradient(v, r, tf.constant({1}, v.dtype)))",
    "numpy": "print(f(**r{0}, cotangent=np.array({1})))",
}
_DERIVED = ("eager", "compiled", "functional", "ambient", "stacked", "unknown_batch", "forward", "strict")
_FORWARD = {
    **_GRADIENTS,
    "jax": "print(f(**r{0}), jax.jacfwd(lambda r: (f(**r{0}) * jnp.array({1})).sum())(r))",
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
_ALIKE = "a[jnp.zeros(len(a), int)]"  # other labels: all those of the first row
_ARRAYS_OF = '{n: a for n, a in k.items() if hasattr(a, "shape")}'
_OPTIONS = '{n: a for n, a in k.items() if not hasattr(a, "shape")}'
_MODES = {
    ("torch", "compiled"): "f = torch.compile(f, fullgraph=True, dynamic=False); ",
    ("torch", "ambient"): 'f = torch.autocast("cpu", torch.bfloat16)(f); ',
    ("tensorflow", "compiled"): "f = tf.function(f, jit_compile=True); ",
    ("tensorflow", "ambient"): 'import keras; keras.mixed_precision.set_dtype_policy("mixed_bfloat16"); ',
    ("jax", "compiled"): "f = (lambda g: lambda **k: jax.jit(lambda a: g(**{**k, **a}))"
    '({n: a for n, a in k.items() if hasattr(a, "shape")}))(f); ',
    ("jax", "ambient"): 'jax.config.update("jax_default_matmul_precision", "bfloat16"); ',
    ("jax", "strict"): '[jax.config.update(f"jax_{s}", v) for s, v in dict(numpy_rank_promotion="raise",'
    ' numpy_dtype_promotion="strict", debug_nans=True, debug_infs=True).items()]; ',
    ("jax", "stacked"): f"s = lambda n, a: jnp.stack([jnp.roll(a, 1, 0), a, {_ALIKE}] if n in BATCHED else [a] * 3); "
    f"f = (lambda g: lambda **k: jax.vmap(lambda a: g(**a, **{_OPTIONS}))"
    f"({{n: s(n, a) for n, a in {_ARRAYS_OF}.items()}})[1])(f); ",
    ("jax", "unknown_batch"): 'from jax import export; b = export.symbolic_shape("rows"); '
    "s = lambda n, a: jax.ShapeDtypeStruct((*b, *a.shape[1:]) if n in BATCHED else a.shape, a.dtype); "
    f"f = (lambda g: lambda **k: export.export(jax.jit(lambda a: g(**a, **{_OPTIONS})))"
    f"({{n: s(n, a) for n, a in {_ARRAYS_OF}.items()}}).call({_ARRAYS_OF}))(f); ",
}


def line(target: str, hello: Mapping[str, Any], case: Case) -> str:
    """Return a shell line that makes the call of a case and prints what comes back."""
    framework = hello.get("framework", "")
    if framework not in _IMPORTS or case.loss not in hello.get("origin", {}):
        messages = ({"type": "hello", "protocol": 1}, case.message(1))
        return f"printf '%s\\n' {' '.join(shlex.quote(json.dumps(m)) for m in messages)} | {target}"
    module, expression = hello["origin"][case.loss]
    expression = expression.replace("'", '"')  # the code stands between single quotes of the shell
    if module.endswith(".py"):
        loading = f"import runpy, types; m = types.SimpleNamespace(**runpy.run_path({json.dumps(module)}))"
    else:
        loading = f"import {module} as m"
    own = {spec_name: name for name, spec_name in hello.get("rename", {}).items()}
    differentiable = [n for n, a in case.inputs.items() if a.dtype.kind == "f" and n not in case.dtypes]
    rows = {own.get(n, n): _array(framework, case.inputs[n], case.dtype_of(n)) for n in differentiable}
    rest = {
        own.get(n, n): _array(framework, a, case.dtype_of(n)) for n, a in case.inputs.items() if n not in differentiable
    }
    rest |= {own.get(n, n): json.dumps(v) if isinstance(v, str) else repr(v) for n, v in case.parameters.items()}
    others = "".join(f", {name}={text}" for name, text in rest.items())
    seed = np.asarray(1.0 if case.cotangent is None else case.cotangent).tolist()
    asked = case.order > 0 and rows and case.mode in _DERIVED
    endings = _RESULTS if case.results else _FORWARD if case.mode == "forward" else _GRADIENTS
    ending = (endings[framework] if asked else "print(f(**r{0}))").format(others, seed)
    batched = tuple(own.get(n, n) for n in losses()[case.loss].aligned) if case.loss in losses() else ()
    transformed = _MODES.get((framework, case.mode), "").replace("BATCHED", json.dumps(batched))
    given = ", ".join(f"{name}={text}" for name, text in rows.items())
    code = (
        f"{_IMPORTS[framework]}; from math import inf, nan; {loading}; f = m.{expression}; {transformed}"
        f"r = dict({given}); {ending}"
    )
    return f"python -c {shlex.quote(code)}"


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
