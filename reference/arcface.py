"""ArcFace loss (spec/arcface.md): the clauses in float64 numpy, value and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import ArrayLike

from lossproof.reference.class_weights import by_inverse, unit_rows
from lossproof.reference.cross_entropy import cross_entropy
from lossproof.reference.inputs import as_batch, as_rows, as_weights, described, weighing
from lossproof.reference.terms import Loss, Terms, differentiable
from lossproof.reference.typing import Array
from lossproof.spec.arguments import REDUCTIONS, check_batch, check_choice, check_label_range, check_real, check_table

BEYOND_PI = ("keep", "linear", "continuous")


@differentiable
def arcface_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    class_weights: ArrayLike,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    beyond_pi: str = "keep",
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    cotangent: ArrayLike | None = None,
) -> ArcFace:
    """Return the ArcFace loss of rows, in float64.

    Cross-entropy of ``scale * cos(theta_j)``, with ``scale * cos(theta_y + margin)`` for the label y, where theta_j is
    the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), any float dtype and length.
        labels: integers of shape (B,) in [0, C).
        class_weights: rows of shape (C, D), of the dtype of the embeddings or a wider one, any length.
        scale: [0, inf).
        margin: in radians, [0, pi].
        beyond_pi: past theta_y + margin = pi: "keep" leaves the cosine, "linear" takes
            ``cos(theta) - margin sin(margin)``, "continuous" ``cos(theta) + cos(margin) - 1``.
        mask: booleans of shape (B,); True takes part.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum.
        reduction: "none", "sum" or "mean" (over rows that take part).
        cotangent: if given, of the shape of the loss: return the gradients too.

    Returns:
        The loss, of shape (B,) for "none", else (); with `cotangent`, the pair of the loss and a dictionary of the
        gradients of ``sum(cotangent * loss)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    At kinks: gradient 0 of the label's logit where the angle is 0 or pi; a zero row has cosine 0 and gives and gets no
    gradient. Clauses AF-1 to AF-17, CE-1, CE-3, CE-4, CV-1 to CV-46. Source: Deng et al. (2019), eq. 3.
    """
    check_real("scale", scale, 0)
    check_real("margin", margin, 0, high=pi)  # AF-15
    check_choice("beyond_pi", beyond_pi, BEYOND_PI)  # CV-27
    check_choice("reduction", reduction, REDUCTIONS[:3])
    of_units = as_weights(weights, mask, embeddings=embeddings)
    labels, takes_part, x = as_batch(labels, weighing(of_units, mask), embeddings=embeddings)
    tables = described(class_weights=class_weights, embeddings=embeddings)
    check_table("class_weights", *tables["class_weights"], "embeddings", x.shape[1], tables["embeddings"][1])
    (w,) = as_rows(class_weights=class_weights)
    if labels.size:
        check_label_range("labels", int(labels.min()), int(labels.max()), 0, len(w) - 1)  # CV-33
    s, m = (w.dtype.type(number) for number in (scale, margin))

    angles = Angles.between(x, w, labels)
    past = (angles.c < -np.cos(m)) & (beyond_pi != "keep")  # AF-5, AF-8
    return arcface(angles, past, s, m, beyond_pi, takes_part, reduction, of_units)


@differentiable
def arcface_logits(
    embeddings: ArrayLike, class_weights: ArrayLike, *, scale: float = 64.0, cotangent: ArrayLike | None = None
) -> Logits:
    """Return the logits of rows without a margin, by which one classifies, in float64.

    ``scale * cos(theta_j)``, where theta_j is the angle between the embedding and class weight j.

    Args:
        embeddings: rows of shape (B, D), any float dtype and length.
        class_weights: rows of shape (C, D), of the dtype of the embeddings or a wider one, any length.
        scale: [0, inf).
        cotangent: if given, of the shape of the logits: return the gradients too.

    Returns:
        The logits, of shape (B, C); with `cotangent`, the pair of the logits and a dictionary of the gradients of
        ``sum(cotangent * logits)`` by input.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    A zero row has logit 0 with every row, and gives and gets no gradient. Clauses AF-18 to AF-22.
    Source: Deng et al. (2019).
    """
    check_real("scale", scale, 0)  # AF-21
    given = described(embeddings=embeddings, class_weights=class_weights)
    check_batch("embeddings", *given["embeddings"])
    (_, width), dtype = given["embeddings"]
    check_table("class_weights", *given["class_weights"], "embeddings", width, dtype)
    x, w = as_rows(embeddings=embeddings, class_weights=class_weights)
    return Logits(unit_rows(x), unit_rows(w), w.dtype.type(scale))  # AF-18


@dataclass(frozen=True)
class Logits(Loss):
    """The scaled cosines of rows with the weights of the classes; no loss, but differentiated like one."""

    x: tuple[Array, Array]  # unit rows and the inverse of their norms
    w: tuple[Array, Array]
    scale: Array

    def value(self) -> Array:
        """Return the logits."""
        return np.asarray(self.scale * (self.x[0] @ self.w[0].T))  # AF-19: a zero row is 0 at unit length, too

    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Take the part of each other row that is at a right angle to one's own, over the norm: AF-20."""
        (x, x_inverse), (w, w_inverse) = self.x, self.w
        zero = (x_inverse == 0)[:, None] | (w_inverse == 0)
        to_cosine, cosine = np.where(zero, 0, cotangent * self.scale)[..., None], (x @ w.T)[..., None]
        to_x = np.sum(to_cosine * (w - cosine * x[:, None]), axis=1)
        to_w = np.sum(to_cosine * (x[:, None] - cosine * w), axis=0)
        return {"embeddings": by_inverse(to_x, x_inverse), "class_weights": by_inverse(to_w, w_inverse)}


@dataclass(frozen=True)
class Angles:
    """The angles of rows with the classes, by cosine, and that with the class of the label, by sine too."""

    labels: Array
    x: tuple[Array, Array]  # unit rows and the inverse of their norms
    w: tuple[Array, Array]
    zero: Array  # (B, C), where one of the two is a zero row: AF-9
    cosine: Array  # (B, C)
    c: Array  # (B,), the cosine of the label
    sine: Array  # (B,), that of the label

    @staticmethod
    def between(x: Array, w: Array, labels: Array) -> Angles:
        """Return the angles of the rows of x with those of w."""
        rows = np.arange(len(x))
        (x_unit, x_inverse), (w_unit, w_inverse) = unit_rows(x), unit_rows(w)  # AF-2
        zero = (x_inverse == 0)[:, None] | (w_inverse == 0)
        cosine = x_unit @ w_unit.T
        c = cosine[rows, labels]
        away = x_unit - c[:, None] * w_unit[labels]
        sine = np.where(zero[rows, labels], 1, np.sqrt(np.sum(away * away, axis=-1)))  # AF-4
        return Angles(labels, (x_unit, x_inverse), (w_unit, w_inverse), zero, cosine, c, sine)


def arcface(
    angles: Angles,
    past: Array,
    s: Array,
    m: Array,
    beyond_pi: str,
    takes_part: Array,
    reduction: str,
    unit_weights: Array | None,
) -> ArcFace:
    """Return the terms, where `past` says which angles with the margin are past pi."""
    c, rows = angles.c, np.arange(len(past))
    own = angles.labels[:, None] == np.arange(angles.cosine.shape[1])
    shift = -m * np.sin(m) if beyond_pi == "linear" else np.cos(m) - 1  # AF-6, AF-7
    moved = np.where(past, c + shift, c * np.cos(m) - angles.sine * np.sin(m))  # AF-1, AF-3
    logits = s * np.where(own, moved[:, None], angles.cosine)
    found = cross_entropy(logits, angles.labels, 0.0, takes_part, reduction, unit_weights)
    rest = np.sum(np.where(own, 0, found.probability), axis=-1)
    # d z_y = s (slope dc - turn dsin)
    slope, turn = np.where(past, 1, np.cos(m)), np.where(past | angles.zero[rows, angles.labels], 0, np.sin(m))
    return ArcFace(
        found.terms, takes_part, reduction, angles, s, m, beyond_pi, own, found.probability, found.surprise, rest,
        slope, turn, np.zeros(c.shape, int), unit_weights=unit_weights,
    )  # fmt: skip


@dataclass(frozen=True)
class ArcFace(Terms):
    """The terms of rows against the weights of the classes."""

    angles: Angles
    scale: Array
    margin: Array
    beyond_pi: str
    own: Array  # (B, C), the class of the label
    probability: Array  # (B, C), p
    surprise: Array  # (B, C), -log p
    rest: Array  # (B,), 1 - p_y
    slope: Array  # (B,), d logit of the label / d cosine, over the scale
    turn: Array  # (B,), less d that / d sine
    corner: Array  # (B,), the gradient of the sine where it is 0, which is 0 in each coordinate: AF-13

    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Carry the gradient of the terms to the logits, to cosines and sines, and on to the rows."""
        cosine, labels, zero = self.angles.cosine, self.angles.labels, self.angles.zero
        (x_unit, x_inverse), (w_unit, w_inverse) = self.angles.x, self.angles.w
        to_logits = w[:, None] * self.scale * np.where(self.own, -self.rest[:, None], self.probability)  # CE-4
        to_cosine = np.where(zero, 0, to_logits * np.where(self.own, self.slope[:, None], 1))  # AF-11, AF-12, AF-14
        to_sine = -(to_logits[np.arange(len(w)), labels] * self.turn)[:, None]
        to_x = np.sum(to_cosine[..., None] * (w_unit - cosine[..., None] * x_unit[:, None]), axis=1)
        to_w = np.sum(to_cosine[..., None] * (x_unit[:, None] - cosine[..., None] * w_unit), axis=0)
        to_x = to_x + to_sine * self.sine_gradient(x_unit, w_unit[labels])
        np.add.at(to_w, labels, to_sine * self.sine_gradient(w_unit[labels], x_unit))
        to_x = np.where((self.weights() == 0)[:, None], 0, by_inverse(to_x, x_inverse))
        return {"embeddings": to_x, "class_weights": by_inverse(to_w, w_inverse)}

    def sine_gradient(self, far: Array, near: Array) -> Array:
        """Return the gradient of |far - c near| with respect to the row whose unit vector is `far`, times its norm."""
        c, sine = self.angles.c[:, None], self.angles.sine[:, None]
        along = (far - c * near) / np.where(sine == 0, 1, sine) - sine * far
        return np.where(sine == 0, self.corner[:, None], along)
