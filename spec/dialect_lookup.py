"""Find the dialect of a call by the names that people know it by."""

from __future__ import annotations

import re

from lossproof.spec.dialect import Dialect, dialects
from lossproof.spec.words import meant


def find(library: str, name: str) -> Dialect:
    """Return the dialect of a call.

    Args:
        library: its name on the package index or that of its module; `name==version` is the dialect of that version,
            and without one it is the newest.
        name: of the call, with the modules before it or without.

    Raises:
        ValueError: a library, a version or a call that the spec does not know.
    """
    wanted, _, version = library.partition("==")
    every = {own for dialect in dialects() for own in (dialect.module, dialect.library) if own}
    of = [d for d in dialects() if _key(wanted) in (_key(d.library), _key(d.module))]
    if not of:
        known = ", ".join(dict.fromkeys(dialect.library for dialect in dialects()))
        raise ValueError(f"no dialect of {wanted!r}; there are {known}{meant(wanted, every)}")
    within = [d for d in of if not version or covers(d.versions, version)]
    if not within:
        spans = " and ".join(dict.fromkeys(dialect.versions for dialect in of))
        raise ValueError(f"the dialects of {wanted} speak of {spans}, got {version}")
    for dialect in within:
        if name in (dialect.name, dialect.name.rpartition(".")[2]):
            return dialect
    short = {dialect.name.rpartition(".")[2] for dialect in within}
    raise ValueError(f"no dialect of {name!r} of {wanted}; there are {', '.join(sorted(short))}{meant(name, short)}")


def covers(versions: str, version: str) -> bool:
    """Whether a version is in a range as requirements write it, `>=5.3,<7`."""
    own = _numbers(version)
    tests = {">=": own.__ge__, "<=": own.__le__, "==": own.__eq__, "<": own.__lt__, ">": own.__gt__}
    found = re.findall(r"(>=|<=|==|<|>)\s*([\d.]+)", versions)
    return all(tests[sign](_numbers(bound)) for sign, bound in found)


def _numbers(version: str) -> tuple[int, ...]:
    found = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return tuple(found + [0] * (3 - len(found)))


def _key(name: str) -> str:
    return re.sub(r"[-_.]", "_", name.lower())
