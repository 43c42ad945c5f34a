"""A batch of a user's own from an .npz file: arrays that are named as the inputs of the page are."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lossproof import reference
from lossproof.conformance.host.arrays import FORMATS, INTEGERS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.options import inputs_of, required_of
from lossproof.conformance.host.words import meant

KINDS = {"float": "f", "weight": "f", "bool": "b", "label": "iu", "index": "iu"}
WORDS = {"f": "floats", "b": "booleans", "iu": "integers"}


class BatchError(Exception):
    """A file that holds no batch of a loss; the message is one line."""


def read_batch(path: Path, loss: str) -> Case:
    """Return a call of the loss on the arrays of a file, without any option; BatchError says what is wrong."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except OSError as problem:
        raise BatchError(f"cannot read {path}: {problem.strerror or problem}") from problem
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as problem:
        raise BatchError(f"{path} is no .npz file of plain arrays: {problem}") from problem
    known = inputs_of(loss)
    for name, array in arrays.items():
        if name not in known:
            raise BatchError(f"{path}: {loss} has no input {name!r}, it has {', '.join(known)}{meant(name, known)}")
        wanted = KINDS[known[name]["kind"]]
        if array.dtype.kind not in wanted or array.dtype.name not in (*FORMATS, "bool", *INTEGERS):
            raise BatchError(f"{path}: {name} must hold {WORDS[wanted]}, got {array.dtype.name}")
    missing = [name for name in required_of(loss) if name not in arrays]
    if missing:
        raise BatchError(f"{path}: {loss} needs {missing[0]}, and the file has {', '.join(arrays) or 'nothing'}")
    try:
        getattr(reference, loss)(**arrays)
    except (ValueError, TypeError) as problem:
        raise BatchError(f"{path}: {problem}") from problem
    return _case(loss, arrays)


def _case(loss: str, arrays: dict[str, Any]) -> Case:
    dtype = next(array.dtype.name for array in arrays.values() if array.dtype.kind == "f")
    held = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in arrays.items()}
    plain = Case(loss, held, dtype, {})
    others = {n: a.dtype.name for n, a in arrays.items() if a.dtype.name != plain.dtype_of(n)}
    return Case(loss, held, dtype, {}, dtypes=others)
