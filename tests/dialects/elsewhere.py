"""A call of a library in a framework of its own, and the reference in numpy: values and gradients on drawn arrays."""

from importlib import import_module

import numpy as np
from drawn import arrays_of

from lossproof import reference
from lossproof.backends import migration
from lossproof.conformance.host.frameworks import Request
from lossproof.conformance.host.worker import adapter_for
from lossproof.spec import losses

ADAPTERS = {
    "tensorflow": "tensorflow",
    "jax": "jax",
    "paddle": "lossproof.conformance.peers.paddle:Paddle",
    "mlx": "lossproof.conformance.peers.mlx:Mlx",
}
COARSE = ("paddle", "mlx")  # their float64 has the digits of float32 in places, which the judge finds
_STEPS = {**migration._PLAIN, "unit": lambda rows: rows / np.linalg.norm(rows, axis=-1, keepdims=True)}


def reference_pair(dialect, own, batch, seed):
    """Return (value, gradients) of the library's call and of the reference, and the roundoff of the call."""
    setting = dialect.setting(**own)
    arrays, derived = arrays_of(dialect, batch, seed, setting)
    wide = "float64" in dialect.limits.get("dtype", ["float64"]) and dialect.framework not in COARSE
    dtype = "float64" if wide else "float32"
    unweighted = {name for name, page_name in dialect.arguments.items() if page_name == "weights"}  # CV-40 differs
    arrays = {name: array for name, array in arrays.items() if name not in unweighted}
    arrays |= {name: arrays[name].astype(dtype).astype(float) for name in derived}
    here = _here(dialect, setting, arrays, derived)
    return _there(dialect, own, arrays, dtype, np.ones(np.shape(here[0]))), here, np.finfo(dtype).eps


def _there(dialect, own, arrays, dtype, seed):
    if dialect.library == "tensorflow-similarity":
        import_module("lossproof.conformance.peers.tensorflow_similarity")  # which knows a way past its front page
    space = dict.fromkeys(dialect.arguments)
    exec(f"from math import inf, nan; {dialect.imports}", space)
    inputs = {n: (array, dtype if array.dtype.kind == "f" else array.dtype.name) for n, array in arrays.items()}

    def call(**given):
        return eval(dialect.text(**own), {**space, **given})

    found = adapter_for(ADAPTERS[dialect.framework], "cpu").run(
        Request(call, "", inputs, "eager", 1, seed, {}, {}, False)
    )
    return found["value"][0], {name: gradient for name, (gradient, _) in found["gradients"].items()}


def _here(dialect, setting, arrays, derived):
    page, own = losses()[dialect.loss].inputs, dialect.arguments
    named = {own.get(name, name): array for name, array in arrays.items()}
    given = migration._converted(named, setting.convert, page, lambda step, array: _STEPS[step](array))
    function = getattr(reference, setting.loss)
    shape = np.shape(function(**given, **setting.options))
    value, gradients = function(**given, **setting.options, cotangent=np.ones(shape))
    if "distances" in setting.convert.values():
        gradients = {name: gradient[..., 0] for name, gradient in gradients.items()}
    return value, {name: gradients[own.get(name, name)] for name in derived if own.get(name, name) in gradients}
