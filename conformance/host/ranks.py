"""A batch over processes: what an implementation says of itself, and one answer made of those of all ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, decode, encode
from lossproof.spec import losses

AXIS = "ranks"  # of a mesh in JAX
FILLING = {"f": np.nan, "i": 77, "u": 77, "b": False}  # of rows that only fill a block up: what they hold is no matter
MODE = "ranks:"  # and the number of processes
WORLDS = (2, 4)
KEYWORDS = {"torch": "process_group", "jax": "axis_name", "tensorflow": "across_replicas"}  # that a function may have
RETURNS = ("share", "scaled", "total", "own mean")
COMBINE = ("sum", "mean")
APART = ("RankLate", "RankDied", "RanksApart")  # types of an error that not every process has


@dataclass(frozen=True)
class Ranks:
    """How an implementation spreads a batch over processes (spec/distributed.md).

    Args:
        returns: what each process returns for a scalar reduction: its "share" (DD-3); "scaled", W times its share
            (DD-6); the "total" of all, alike on each; or its "own mean", the mean of its own terms.
        combine: how the gradients of the processes are combined afterwards: "sum", or "mean", as by DDP.
        even: whether all processes must hold equally many rows.
        worlds: the numbers of processes that it runs with.
    """

    returns: str = "share"
    combine: str = "sum"
    even: bool = False
    worlds: tuple[int, ...] = WORLDS

    @property
    def modes(self) -> list[str]:
        """Return the modes in which it is asked."""
        return [f"{MODE}{world}" for world in self.worlds]


def world_of(mode: str) -> int:
    """Return the number of processes of a mode, 1 for one without."""
    return int(mode.removeprefix(MODE)) if mode.startswith(MODE) else 1


def own_rows(array: Array, split: Sequence[int], rank: int) -> Array:
    """Return the rows of one process."""
    first = sum(split[:rank])
    return array[first : first + split[rank]]


def in_blocks(array: Array, split: Sequence[int], most: int, filling: Any = None) -> Array:
    """Return blocks of `most` rows for each process, after one another and filled up."""
    filling = FILLING[array.dtype.kind] if filling is None else filling
    whole = np.full((len(split) * most, *array.shape[1:]), filling, array.dtype)
    for rank, own in enumerate(split):
        whole[rank * most : rank * most + own] = own_rows(array, split, rank)
    return whole


def seed_in_blocks(cotangent: Array, split: Sequence[int], most: int) -> Array:
    """Return the cotangent of what all processes return, in blocks of `most` rows, 0 where they are filled up.

    Of a term a pair the columns are rows of the union, which have blocks too.
    """
    if not cotangent.ndim:
        return cotangent
    seed = in_blocks(cotangent, split, most, 0.0)
    if cotangent.ndim > 1 and cotangent.shape[1] == sum(split):
        seed = np.moveaxis(in_blocks(np.moveaxis(seed, 1, 0), split, most, 0.0), 0, 1)
    return seed.reshape(len(split), most, *seed.shape[1:])


def mask_of_all(rows: Array) -> Array:
    """Return a mask with which every row (..., D), or every entry (B,), takes part."""
    return np.ones(rows.shape[: max(rows.ndim - 1, 1)], bool)


def merged(parts: Sequence[Mapping[str, Any]], loss: str, ranks: Ranks) -> dict[str, Any]:
    """Return the answers of all processes, in order of rank, as the answer of one device (DD-2 to DD-6).

    Unreduced terms are put after one another, and so are the gradients of rows; those of tables are added up.
    """
    world, aligned = len(parts), losses()[loss].aligned
    values, dtype = zip(*(decode(part["value"]) for part in parts), strict=True)
    scalar = values[0].ndim == 0
    over = world if ranks.returns != "share" else 1
    value = sum(values) / over if scalar else np.concatenate(values)
    found: dict[str, Any] = {"value": encode(np.asarray(value), dtype[0]), "changed": []}
    for kind in ("gradients", "second"):
        if kind in parts[0]:
            found[kind] = {}
            for name in parts[0][kind]:
                each, own = zip(*(decode(part[kind][name]) for part in parts), strict=True)
                whole = np.concatenate(each) if name in aligned else sum(each)
                divisor = world if scalar and ranks.combine == "mean" else 1
                found[kind][name] = encode(np.asarray(whole / divisor), own[0])
    return found
