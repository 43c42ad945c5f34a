"""PaddlePaddle on the CPU: its adapter, and its losses of given triplets and of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from paddle.nn import functional

from lossproof.conformance.host.frameworks import NotALoss
from lossproof.conformance.host.frameworks.eager import Eager
from lossproof.conformance.host.peers import peer

FRAMEWORK = "lossproof.conformance.peers.paddle:Paddle"


class Paddle(Eager):
    """Runs functions of tensors; `paddle.grad` gives the gradients that are judged."""

    name, version = "paddle", paddle.__version__
    labels = ("int64", "int32")

    def array(self, values: Any, dtype: str) -> Any:
        """Return a numpy array as a tensor that is differentiated where it holds floats."""
        return paddle.to_tensor(values, dtype=dtype, stop_gradient=values.dtype.kind != "f")

    def numbers(self, array: Any) -> tuple[Any, str]:
        """Return a tensor as a numpy array, and the name of its dtype."""
        if not paddle.is_tensor(array):
            raise NotALoss(f"the loss returned {type(array).__name__}, not a tensor")
        found = array.numpy()
        return (found.astype(np.float64) if found.dtype.kind == "f" else found), found.dtype.name

    def derived(self, call: Callable[..., Any], rows: Mapping[str, Any], seed: Any) -> tuple[Any, dict[str, Any]]:
        """Return the value of a call and its gradients; one that no row reaches is 0."""
        value = call(**rows)
        if value.stop_gradient:
            return value, {name: paddle.zeros_like(row) for name, row in rows.items()}
        seed = None if seed is None else paddle.to_tensor(seed, dtype=value.dtype).reshape(value.shape)
        found = paddle.grad(value, list(rows.values()), grad_outputs=seed, allow_unused=True)
        zeros = (paddle.zeros_like(row) for row in rows.values())
        return value, {n: z if g is None else g for n, g, z in zip(rows, found, zeros, strict=True)}


triplet_margin_loss = peer("paddlepaddle", "triplet_margin_loss", functional.triplet_margin_loss)
triplet_margin_with_distance_loss = peer(
    "paddlepaddle", "triplet_margin_with_distance_loss", functional.triplet_margin_with_distance_loss
)
margin_ranking_loss = peer("paddlepaddle", "margin_ranking_loss")
cross_entropy = peer("paddlepaddle", "cross_entropy")
cross_entropy_with_label_smoothing = peer("paddlepaddle", "cross_entropy with label_smoothing")
cross_entropy_with_probabilities = peer("paddlepaddle", "cross_entropy with probabilities")
