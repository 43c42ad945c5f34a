"""Row distances in mpmath, one pair of rows at a time (spec/distances.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np

Row = Any  # a sequence of numbers


def distance(options: Mapping[str, Any], default_eps: float = 1e-6) -> Callable[[Row, Row], Any]:
    """Return the distance that the options name, as a function of two rows."""
    name = options.get("distance", "p_norm")
    p, eps_at = options.get("p", 2.0), options.get("eps_at", "difference")
    eps = mpmath.mpf(options.get("eps", default_eps))
    if name == "euclidean":
        p, eps = 2.0, mpmath.mpf(0)

    power = mpmath.mpf(p)

    def norm(x: Row, y: Row) -> Any:
        sizes = [abs(t + (eps if eps_at == "difference" else 0)) for t in minus(x, y)]
        if any(mpmath.isnan(s) for s in sizes):
            return mpmath.nan
        if p == np.inf:
            return max(sizes)
        total = mpmath.fsum(s**power for s in sizes if s)
        total = total + eps if eps_at == "root" else max(total, eps) if eps_at == "floor" else total
        return total ** (1 / power) if total else mpmath.mpf(0)

    return {"p_norm": norm, "euclidean": norm, "squared_euclidean": squared, "cosine": cosine}[name]


def minus(x: Row, y: Row) -> list[Any]:
    """Return the difference of two rows."""
    return [s - t for s, t in zip(x, y, strict=True)]


def squared(x: Row, y: Row) -> Any:
    """Return the squared Euclidean distance."""
    return mpmath.fsum(minus(x, y), squared=True)


def dot(x: Row, y: Row) -> Any:
    """Return the inner product."""
    return mpmath.fdot(zip(x, y, strict=True))


def cosine(x: Row, y: Row) -> Any:
    """Return one minus the cosine; with a zero row the cosine is 0, unless the other holds NaN."""
    size, inner = mpmath.sqrt(dot(x, x) * dot(y, y)), dot(x, y)
    return 1 - (inner / size if size != 0 else inner)
