"""Joint loss (spec/joint.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lossproof.backends.jax.arrays import Input, constants, describe, in_dtype, real, refuse_truncation
from lossproof.backends.jax.batch_hard import batch_hard_triplet_loss
from lossproof.backends.jax.center import center_loss
from lossproof.backends.jax.cross_entropy import cross_entropy_loss
from lossproof.backends.jax.distributed import AxisName, alone
from lossproof.backends.jax.weights import in_arithmetic, unit_weights
from lossproof.spec.arguments import check_as_wide, check_batch, check_classes


def joint_loss(
    logits: Input,
    embeddings: Input,
    labels: Input,
    centers: Input,
    *,
    triplet_weight: float | Array = 1.0,
    center_weight: float | Array = 5e-4,
    triplet_margin: float | Array = 0.3,
    label_smoothing: float | Array = 0.1,
    mask: Input | None = None,
    weights: Input | None = None,
    axis_name: AxisName | None = None,
) -> Array:
    """Return the joint loss of re-identification.

    ``cross_entropy + triplet_weight * batch_hard + center_weight * mean |x - c_y|^2``, each a mean of its own.

    Args:
        logits: rows of shape (B, K), in the dtype of the embeddings or a wider one.
        embeddings: rows of shape (B, D); float16, bfloat16, float32, or float64 where `jax_enable_x64` is on.
        labels: integers of shape (B,) in [0, K). Others: an error where the labels lie in the host's memory,
            else the loss is NaN.
        centers: one row for each class, (K, D), same dtype as the embeddings, or a wider one.
        triplet_weight: [0, inf); this and the other numbers may be arrays of shape (), used as they are, not checked.
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        mask: booleans of shape (B,); True takes part. What a masked row holds, even NaN, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies the terms of its
            row in all three parts, and each mean divides by its own sum of them. Others: an error where they lie in
            the host's memory, else the loss is NaN.
        axis_name: the axis of a mesh along which the batch is spread, each device giving its own rows in blocks of one
            size (short ones filled with masked rows); the result is the share of this one. None: this one has them all.

    Returns:
        The loss, of shape (); float64 for float64 inputs, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Kinks are those of the parts. Clauses JO-1 to JO-10, with CE-1, CE-2, BH-1, BH-2, CN-1; CV-1 to CV-46,
    DD-1 to DD-19. Source: Luo et al. (2019), eq. 5.
    """
    triplet_weight, center_weight = real("triplet_weight", triplet_weight, 0), real("center_weight", center_weight, 0)
    margin = real("triplet_margin", triplet_margin, 0)  # CV-28
    (shape, dtype), (shape_x, dtype_x) = describe("logits", logits), describe("embeddings", embeddings)
    shape_c, dtype_c = describe("centers", centers)
    check_batch("embeddings", shape_x, dtype_x)  # CV-34
    check_batch("logits", shape, dtype)
    check_as_wide("logits", dtype, "embeddings", dtype_x)  # CV-26
    check_as_wide("centers", dtype_c, "embeddings", dtype_x)
    check_classes("centers", shape_c, shape[1])  # JO-8
    for name, wide in (("embeddings", dtype_x), ("logits", dtype), ("centers", dtype_c)):
        refuse_truncation(name, wide)
    arithmetic = jnp.float64 if "float64" in (dtype, dtype_x, dtype_c) else jnp.float32  # CV-17
    w = unit_weights(weights, mask, embeddings=embeddings)  # CV-45
    # once, so that a gradient is rounded once: CV-16
    logits, embeddings, centers = (jnp.asarray(value, arithmetic) for value in (logits, embeddings, centers))
    units: Any = {"mask": mask, "weights": None if w is None else in_arithmetic(w, arithmetic)}  # JO-10
    units["axis_name"] = axis_name
    own = cross_entropy_loss(logits, labels, label_smoothing=label_smoothing, **units)  # JO-2
    triplet = batch_hard_triplet_loss(embeddings, labels, margin=margin, **units)  # JO-3
    center = center_loss(embeddings, labels, centers, factor=1.0, **units)  # JO-4
    triplet_weight, center_weight = in_dtype(triplet_weight, own.dtype), in_dtype(center_weight, own.dtype)
    return own + triplet_weight * triplet + center_weight * center  # JO-1, JO-5, JO-7


_LEAVES = ["triplet_weight", "center_weight", "triplet_margin", "label_smoothing"]


@partial(jax.tree_util.register_dataclass, data_fields=_LEAVES, meta_fields=["axis_name"])  # jax 0.4.35 asks for names
@dataclass(frozen=True, kw_only=True)
class JointLoss:
    """`joint_loss` as a pytree, whose numbers are leaves without gradient; the centers are an argument.

    Args:
        triplet_weight: [0, inf); this and the other numbers may be arrays of shape (), used as they are, not
            checked.
        center_weight: [0, inf).
        triplet_margin: of the batch-hard triplet loss, [0, inf).
        label_smoothing: of the cross-entropy, [0, 1].
        axis_name: the axis of a mesh along which the batch is spread; None: this device has all of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from lossproof.backends.jax import JointLoss
        >>> loss = JointLoss()
        >>> round(float(loss(jnp.eye(2), jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]), jnp.eye(2))), 3)
        0.364
    """

    triplet_weight: float | Array = 1.0
    center_weight: float | Array = 5e-4
    triplet_margin: float | Array = 0.3
    label_smoothing: float | Array = 0.1
    axis_name: AxisName | None = None

    def __post_init__(self) -> None:
        options = alone(self._options())
        if all(isinstance(value, float | int) for value in options.values()):
            row, label = np.zeros((1, 1), np.float32), np.zeros(1, np.int32)
            jax.eval_shape(partial(joint_loss, **options), row, row, label, row)  # refuses illegal options

    def __call__(
        self,
        logits: Input,
        embeddings: Input,
        labels: Input,
        centers: Input,
        mask: Input | None = None,
        weights: Input | None = None,
    ) -> Array:
        """Return the loss of the rows; see `joint_loss`."""
        return joint_loss(logits, embeddings, labels, centers, mask=mask, weights=weights, **constants(self._options()))

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
