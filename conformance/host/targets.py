"""Where a target lies: a module or a file, what is taken from it, and how a line that reproduces imports it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lossproof.conformance.host.words import cut, meant

_FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "jaxlib", "numpy"}


class TargetError(Exception):
    """A target that cannot be judged; the message is one line for the person who named it."""


@dataclass(frozen=True)
class Module:
    """A module or a file, as the target names it."""

    name: str
    version: str


def split(target: str) -> tuple[str, str, str]:
    """Return the module or file of a target, the colon, and what is named in it; a file alone is all that is in it."""
    return (target, ":", "") if target.endswith(".py") else target.rpartition(":")


def load(target: str, module_name: str, attribute: str) -> tuple[Module, Any]:
    """Return the module of a target, and what the target names in it."""
    try:
        thing: Any = _module(module_name)
        for part in filter(None, attribute.split(".")):
            if not hasattr(thing, part):
                raise TargetError(f"cannot import {target}: there is no {part!r}{meant(part, dir(thing))}")
            thing = getattr(thing, part)
    except TargetError:
        raise
    except Exception as problem:
        missing = getattr(problem, "name", "") or ""
        if isinstance(problem, ModuleNotFoundError) and missing.split(".")[0] in _FRAMEWORKS:
            raise
        raise TargetError(f"cannot import {target}: {type(problem).__name__}: {cut(str(problem))}") from problem
    root = sys.modules.get(module_name.split(".")[0])
    return Module(module_name, str(getattr(root, "__version__", ""))), thing


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    own = path.stem if _is_free(path) else f"_judged_{path.stem}"  # a file optax.py may import optax
    spec = importlib.util.spec_from_file_location(own, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise TargetError(f"no such file: {name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[own] = module
    sys.path.append(str(path.parent))  # what lies beside it can be imported, as if it had been started itself
    spec.loader.exec_module(module)
    return module


def _is_free(path: Path) -> bool:
    """Whether no other module has the name of a file."""
    try:
        spec = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return False
    return spec is None or (spec.origin is not None and Path(spec.origin).resolve() == path)


def place(module_name: str, expression: str) -> tuple[str, str]:
    """Return where something is, for a line that is run elsewhere: a file by its absolute path."""
    return (str(Path(module_name).resolve()) if module_name.endswith(".py") else module_name), expression


def home(function: Any, module_name: str) -> tuple[str, str] | None:
    """Return where a function is at home: the shortest name of a module, and its name there; None if it has none.

    So a line that reproduces a finding in somebody's function imports that function, and not who told the judge of it.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        thing: Any = sys.modules.get(".".join(parts[:end]))
        for part in name.split("."):
            thing = getattr(thing, part, None)
        if thing is function:
            if module_name.endswith(".py") and parts[0].removeprefix("_judged_") == Path(module_name).stem:
                return place(module_name, name)
            return ".".join(parts[:end]), name
    return None
