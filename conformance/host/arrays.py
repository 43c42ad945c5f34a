"""Arrays of the four dtypes, held in float64: rounding, the numbers of each format, and the wire encoding.

The judge holds every float array as float64 with the name of the dtype beside it; every number is representable in
that dtype, so nothing is lost. bfloat16 travels as its sixteen bits, so no package for it is needed here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Format:
    """A floating-point format: unit roundoff, smallest normal and largest number."""

    roundoff: float
    tiny: float
    largest: float


FORMATS = {
    "float16": Format(2.0**-11, 2.0**-14, 65504.0),
    "bfloat16": Format(2.0**-8, 2.0**-126, 3.3895313892515355e38),
    "float32": Format(2.0**-24, 2.0**-126, 3.4028234663852886e38),
    "float64": Format(2.0**-53, 2.0**-1022, 1.7976931348623157e308),
}
HALVES = ("float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
WIRE = (*FORMATS, "bool", *INTEGERS)


def arithmetic(dtype: str) -> Format:
    """Return the format that the arithmetic on inputs of this dtype must have at least (CV-17)."""
    return FORMATS["float64" if dtype == "float64" else "float32"]


def rounded(values: Array, dtype: str) -> Array:
    """Round float64 values to a dtype and return them as float64; too large becomes infinity."""
    values = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        if dtype != "bfloat16":
            return values.astype(dtype).astype(np.float64)
        exponent = np.frexp(values)[1]  # eight significant bits, and a fixed spacing below the normal numbers
        spacing = np.ldexp(1.0, np.maximum(exponent - 8, -133))
        near = np.where(np.isfinite(values), np.rint(values / spacing) * spacing, values)
        return np.where(np.abs(near) > FORMATS["bfloat16"].largest, np.copysign(np.inf, near), near)


def _bfloat16_bits(values: Array) -> Array:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    half_up = ((bits >> np.uint64(16)) & np.uint64(1)) + np.uint64(0x7FFF)
    nan = np.isnan(values)
    return np.where(nan, np.uint64(0x7FC0), (bits + half_up) >> np.uint64(16)).astype(np.uint16)


def _bits_to_float64(bits: Array) -> Array:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


def encode(values: Array, dtype: str) -> dict[str, Any]:
    """Return the wire form of an array: dtype, shape and little-endian base64."""
    if dtype == "bfloat16":
        data = _bfloat16_bits(values).astype("<u2")
    elif dtype == "bool":
        data = np.ascontiguousarray(values, np.bool_)
    else:
        data = np.ascontiguousarray(values).astype(np.dtype(dtype).newbyteorder("<"))
    return {
        "dtype": dtype,
        "shape": list(np.shape(values)),
        "data": base64.b64encode(data.tobytes()).decode(),
    }


def decode(wire: Any) -> tuple[Array, str]:
    """Return an array from its wire form, floats as float64, and its dtype; ValueError for anything else."""
    try:
        dtype, shape, raw = wire["dtype"], tuple(wire["shape"]), base64.b64decode(wire["data"], validate=True)
        if dtype not in WIRE or any(not isinstance(n, int) or n < 0 for n in shape):
            raise ValueError(f"dtype {dtype!r}, shape {shape}")
        stored = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<")
        flat = np.frombuffer(raw, stored)
        if dtype == "bfloat16":
            return _bits_to_float64(flat).reshape(shape), dtype
        array = flat.reshape(shape)
        return (array.astype(np.float64) if array.dtype.kind == "f" else array), dtype
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ValueError(f"not an array of the protocol: {problem}") from problem
