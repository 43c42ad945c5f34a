"""A case from a file: a message of the protocol, or one frozen vector; its first fault is one line with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from lossproof.conformance.checks.vectors import case_of
from lossproof.conformance.host.arrays import FORMATS, decode
from lossproof.conformance.host.case import Case, from_json
from lossproof.conformance.host.options import expectation, inputs_of, parameters_of, required_of
from lossproof.conformance.host.words import cut, meant
from lossproof.conformance.judge.oracle import Oracle
from lossproof.conformance.schemas import schema
from lossproof.spec import Vector, functions, losses, vector_schema, vectors


class CaseError(Exception):
    """A file that holds no case; the message is one line with the file and the place."""


def read_case(name: str) -> Case:
    """Return the case in a file, or the frozen vector of this id (TM-v3); CaseError says what is wrong, and where."""
    frozen = [vector for loss in losses() for vector in vectors(loss) if vector.id == name]
    if frozen and not Path(name).exists():
        return case_of(frozen[0])
    try:
        return _case(json.loads(Path(name).read_text(encoding="utf-8")))
    except OSError as problem:
        raise CaseError(f"cannot read {name}: {problem.strerror}") from problem
    except json.JSONDecodeError as problem:
        raise CaseError(f"{name}: line {problem.lineno}, column {problem.colno}: {problem.msg}") from problem
    except (_Fault, ValueError, RecursionError) as problem:
        raise CaseError(f"{name}: {cut(str(problem), 400)}") from problem


class _Fault(Exception):
    """What is wrong, with its place."""

    def __init__(self, place: str, words: str):
        super().__init__(f"{place}: {words}")


def _case(entry: Any) -> Case:
    if not isinstance(entry, dict):
        raise _Fault("$", "a case is a JSON object")
    if "vectors" in entry:
        known = [vector.get("id") for vector in entry["vectors"] if isinstance(vector, dict)]
        raise _Fault("$.vectors", f"{len(known)} cases; give one of them, or its id ({known[0] if known else 'none'})")
    message = entry.get("type") == "case" or "id" not in entry
    whole = schema("protocol") if message else vector_schema()
    of_one = {"$ref": f"#/$defs/{'case' if message else 'vector'}", "$defs": whole["$defs"]}
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(of_one).iter_errors(entry))
    if wrong is not None:
        raise _Fault(wrong.json_path, wrong.message)
    loss = entry["loss"]
    if loss not in losses():
        other = "a function that is no loss" if loss in functions() else "no loss of the spec"
        raise _Fault("$.loss", f"{loss!r} is {other}{meant(loss, losses())}")
    _check_names(loss, entry)
    case = _of_message(entry) if message else _of_vector(entry)
    _check_call(case)
    return case


def _check_names(loss: str, entry: dict[str, Any]) -> None:
    """Check the names of inputs and options, and the values of options, against the page."""
    for name in entry["inputs"]:
        if name not in inputs_of(loss):
            known = inputs_of(loss)
            raise _Fault(f"$.inputs.{name}", f"no input of {loss}; it has {', '.join(known)}{meant(name, known)}")
    for name in required_of(loss):
        if name not in entry["inputs"]:
            raise _Fault("$.inputs", f"{name} is missing, which every call of {loss} has")
    for name, value in entry["parameters"].items():
        known = parameters_of(loss)
        if name not in known:
            raise _Fault(f"$.parameters.{name}", f"no option of {loss}; it has {', '.join(known)}{meant(name, known)}")
        wanted = expectation(known[name], from_json(value))
        if wanted:
            raise _Fault(f"$.parameters.{name}", f"must be {wanted}, got {value!r}")


def _of_message(entry: dict[str, Any]) -> Case:
    arrays = {name: _decoded(f"$.inputs.{name}", wire) for name, wire in entry["inputs"].items()}
    floats = [dtype for _, dtype in arrays.values() if dtype in FORMATS]
    dtype = floats[0] if floats else "float64"
    case = Case(
        entry["loss"],
        {name: array for name, (array, _) in arrays.items()},
        dtype,
        {name: from_json(value) for name, value in entry["parameters"].items()},
        entry["mode"],
        entry["order"],
        _decoded("$.cotangent", entry["cotangent"])[0] if entry.get("cotangent") else None,
        {name: _decoded(f"$.tangents.{name}", wire)[0] for name, wire in (entry.get("tangents") or {}).items()},
        split=tuple(entry.get("split", ())),
    )
    own = {name: wire for name, (_, wire) in arrays.items()}
    return Case(**{**vars(case), "dtypes": {n: d for n, d in own.items() if d != case.dtype_of(n)}})


def _decoded(place: str, wire: Any) -> Any:
    try:
        return decode(wire)
    except ValueError as problem:
        raise _Fault(place, str(problem)) from problem


def _of_vector(entry: dict[str, Any]) -> Case:
    for name, value in entry["inputs"].items():
        try:
            np.array(value, float)
        except ValueError as problem:
            raise _Fault(f"$.inputs.{name}", "its rows must be of one length") from problem
    return case_of(Vector(**entry | {name: tuple(entry[name]) for name in ("clauses", "betrays")}))


def _check_call(case: Case) -> None:
    """Check that the page allows the call, and that the cotangent has the shape of the loss."""
    try:
        shape = Oracle(ours=False).evaluate(case).value.shape
    except (ValueError, TypeError) as problem:
        raise _Fault("$", f"the page refuses this call: {problem}") from problem
    given = () if case.cotangent is None else case.cotangent.shape
    if case.cotangent is not None and given != shape:
        raise _Fault("$.cotangent", f"must have the shape of the loss, {shape}, got {given}")
