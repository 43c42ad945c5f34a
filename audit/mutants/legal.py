"""What a broken function in numpy does right: bad input is refused, and results have the dtype that the page gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import lossproof.reference as reference
from lossproof.spec import functions

OWN_CHECKS = {"check", "check_pairs"}


def legal(name: str, function: Callable[..., Any], broken: Iterable[str] = ()) -> Callable[..., Any]:
    """Return the function behind the reference's checks of its arrays, unless a check is `broken`; options it checks."""
    entry = functions()[name]
    if OWN_CHECKS & set(broken):
        return function

    def called(**given: Any) -> Any:
        given = {key: np.asarray(a) if key in entry["inputs"] else a for key, a in given.items()}
        own = {key: a for key, a in given.items() if key in entry["inputs"]}
        needed = {key: 0.5 for key, option in entry.get("parameters", {}).items() if "default" not in option}
        strangers = {key: given[key] for key in ("unlabelled",) if key in given}
        getattr(reference, name)(**own, **needed, **strangers)
        wide = {key: a.astype(np.float64) for key, a in own.items() if a.dtype.kind == "f"}
        found = function(**given | wide)
        results = found if isinstance(found, tuple) else (found,)
        floats = [kept.get("like") if kept["kind"] == "float" else None for kept in entry["returns"].values()]
        likes = [None if name is None else own[name].dtype for name in floats]
        typed = tuple(
            r if like is None else np.asarray(r).astype(like) for r, like in zip(results, likes, strict=False)
        )
        return typed if isinstance(found, tuple) else typed[0]

    return called
