"""MLX on the CPU: its adapter, and its losses of given triplets and of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np

from lossproof.conformance.host.frameworks import NotALoss
from lossproof.conformance.host.frameworks.eager import Eager
from lossproof.conformance.host.peers import peer

FRAMEWORK = "lossproof.conformance.peers.mlx:Mlx"


class Mlx(Eager):
    """Runs functions of arrays; `mlx.core.vjp` gives the gradients that are judged."""

    name, version = "mlx", version("mlx")
    floats = ("float64", "float32", "float16", "bfloat16")

    def __init__(self, device: str):
        super().__init__(device)
        mx.set_default_device(mx.cpu)  # which alone has float64

    def array(self, values: Any, dtype: str) -> Any:
        """Return a numpy array as one of MLX."""
        return mx.array(values, dtype=mx.bool_ if dtype == "bool" else getattr(mx, dtype))

    def numbers(self, array: Any) -> tuple[Any, str]:
        """Return an array as a numpy array, and the name of its dtype."""
        if not isinstance(array, mx.array):
            raise NotALoss(f"the loss returned {type(array).__name__}, not an array")
        floats = mx.issubdtype(array.dtype, mx.floating)
        whole = array.astype(mx.float64) if floats else array
        mx.eval(whole)
        mx.synchronize()  # or what raises there is known to a later call alone, and this one reads what memory holds
        found = np.array(whole)
        return found, str(array.dtype).rpartition(".")[2]

    def derived(self, call: Callable[..., Any], rows: Mapping[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        """Return the value of a call and its gradients."""
        value = call(**rows)
        ones = np.ones(value.shape) if seed is None else np.reshape(seed, value.shape)
        along = mx.array(ones, dtype=value.dtype)
        _, found = mx.vjp(lambda *arrays: call(**dict(zip(rows, arrays, strict=True))), [*rows.values()], [along])
        return value, dict(zip(rows, found, strict=True))


triplet_loss = peer("mlx", "triplet_loss")
cross_entropy = peer("mlx", "cross_entropy")
cross_entropy_with_probabilities = peer("mlx", "cross_entropy with probabilities")
