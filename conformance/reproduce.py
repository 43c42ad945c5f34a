"""The line that shows a finding without the judge: the same call, typed in the framework itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossproof.conformance.case import Case

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
# in modes that have their own way to a gradient
_DERIVED = {
    ("tensorflow", "graph"): "v = f(**r{0}); print(*tf.compat.v1.Session().run([v, dict(zip(r, tf.gradients("
    'v, list(r.values()), tf.constant({1}, v.dtype), unconnected_gradients="zero")))]))',
    ("tensorflow", "forward"): "j = lambda n, t: (lambda a: [a.__enter__(), a.jvp(f(**r{0}), "
    'unconnected_gradients="zero"), a.__exit__(None, None, None)][1])(tf.autodiff.ForwardAccumulator(r[n], t)); '
    "print(f(**r{0}), {{n: tf.reshape([tf.reduce_sum(j(n, tf.reshape(e, x.shape)) * {1}) "
    "for e in tf.unstack(tf.eye(x.shape.num_elements(), dtype=x.dtype))], x.shape) for n, x in r.items()}})",
}
_DIFFERENTIATED = {
    "eager",
    "compiled",
    "functional",
    "ambient",
    "unknown_batch",
    "stacked",
    "graph",
    "forward",
    "strict",
}
_MODES = {
    ("torch", "compiled"): "f = torch.compile(f, fullgraph=True, dynamic=False); ",
    ("torch", "ambient"): 'f = torch.autocast("cpu", torch.bfloat16)(f); ',
    ("tensorflow", "compiled"): "f = tf.function(f, jit_compile=True); ",
    ("tensorflow", "unknown_batch"): "f = (lambda g: lambda **k: (lambda a, o: tf.function(lambda a: g(**a, **o), "
    "input_signature=[{n: tf.TensorSpec([None] * len(x.shape[:-1] if x.dtype.is_floating else x.shape) "
    "+ list(x.shape[-1:] if x.dtype.is_floating else []), x.dtype) for n, x in a.items()}])(a))("
    "{n: x for n, x in k.items() if tf.is_tensor(x)}, {n: x for n, x in k.items() if not tf.is_tensor(x)}))(f); ",
    (
        "tensorflow",
        "stacked",
    ): "s = lambda x: tf.stack([tf.reverse(x, [0]), x, tf.roll(x, 1, 0)] if x.dtype.is_floating "
    "else [tf.roll(x, 1, 0), x, tf.broadcast_to(x[:1], x.shape)]); "
    "f = (lambda g: lambda **k: tf.vectorized_map(lambda a: g(**{**k, **a}), "
    "{n: s(x) for n, x in k.items() if tf.is_tensor(x)})[1])(f); ",
    ("tensorflow", "graph"): "w = tf.Graph().as_default(); w.__enter__(); ",
    ("tensorflow", "strict"): "tf.debugging.enable_check_numerics(); ",
    ("tensorflow", "ambient"): 'import keras; keras.mixed_precision.set_dtype_policy("mixed_bfloat16"); ',
    ("jax", "compiled"): "f = (lambda g: lambda **k: jax.jit(lambda a: g(**{**k, **a}))"
    '({n: a for n, a in k.items() if hasattr(a, "shape")}))(f); ',
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
    asked = case.order > 0 and rows and case.mode in _DIFFERENTIATED
    endings = _RESULTS if case.results else _GRADIENTS
    derived = _DERIVED.get((framework, case.mode), endings[framework])
    plain = "print(tf.compat.v1.Session().run(f(**r{0})))" if case.mode == "graph" else "print(f(**r{0}))"
    ending = (derived if asked else plain).format(others, seed)
    transformed = _MODES.get((framework, case.mode), "")
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
