"""What is judged: a target named on the command line, or an `Implementation` object that says more about itself."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lossproof.spec import losses

FRAMEWORKS = ("torch", "tensorflow", "jax", "numpy")


class TargetError(Exception):
    """A target that cannot be judged; the message is one line for the person who named it."""


@dataclass(frozen=True)
class Implementation:
    """Functions under judgement, and what they say of themselves.

    Args:
        losses: name of the loss in the spec -> function. A function's own parameter names say which options it has.
        name: how certificates call it.
        version: its version.
        rename: name in the function -> name in the spec, for instance {"norm_degree": "p"}.
        fixed: options that the function has no parameter for, and the value it works with.
        limits: options -> the values it claims, {"p": [1.0, 2.0]}; "dtype" -> the dtypes it claims.
        traced: options that a compiled call may take as arguments, so that a new number needs no new compilation.
        grade: the grade of distance it claims: "direct", "centred" or "normwise". With the last two
            rounding decides ties of distances, and they are not judged.
        origin: loss -> (module or file, expression in it), for the lines that reproduce a finding; set by `resolve`.
    """

    losses: Mapping[str, Callable[..., Any]]
    name: str = ""
    version: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    traced: tuple[str, ...] = ()
    grade: str = "direct"
    origin: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def accepted(self, loss: str) -> list[str] | None:
        """Return the names of the spec that the function accepts, or None if it accepts any keyword."""
        parameters = inspect.signature(self.losses[loss]).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None
        return [self.rename.get(p.name, p.name) for p in parameters if p.kind is not p.VAR_POSITIONAL]

    def call(self, loss: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """Call the function with its own names for the arguments; positional-only ones in their order."""
        own_names = {spec_name: own for own, spec_name in self.rename.items()}
        given = {own_names.get(name, name): value for name, value in {**inputs, **parameters}.items()}
        function = self.losses[loss]
        positional = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_ONLY]
        return function(*(given.pop(name) for name in positional if name in given), **given)


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise TargetError(f"no such file: {name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def resolve(target: str, known_losses: tuple[str, ...]) -> Implementation:
    """Return the implementation a target names: one of our backends, module:object or file.py:object."""
    if target in FRAMEWORKS:
        target = "lossproof.reference:" if target == "numpy" else f"lossproof.backends.{target}:"
    module_name, separator, attribute = target.rpartition(":")
    if not separator:
        raise TargetError(f"{target!r} is no target: torch, tensorflow, jax, numpy, module:object or file.py:object")
    thing = _load(target, module_name, attribute)
    if isinstance(thing, Implementation):
        origin = {loss: (module_name, f"{attribute}.losses[{loss!r}]") for loss in thing.losses}
        return replace(thing, origin=origin, name=thing.name or target)
    if callable(thing) and not isinstance(thing, Mapping):
        named = {loss: thing for loss in known_losses if loss == getattr(thing, "__name__", "")}
        functions = named or _only_loss(thing, known_losses)
        origin = dict.fromkeys(functions, (module_name, attribute))
    else:
        members = thing if isinstance(thing, Mapping) else vars(thing)
        functions = {loss: members[loss] for loss in known_losses if callable(members.get(loss))}
        path = f"{attribute}[{{!r}}]" if isinstance(thing, Mapping) else f"{attribute}.{{}}" if attribute else "{}"
        origin = {loss: (module_name, path.format(loss)) for loss in functions}
    if not functions:
        known = ", ".join(name for name in known_losses if name in losses())
        raise TargetError(f"{target}: nothing in it is a loss of the spec ({known})")
    version = str(getattr(sys.modules.get(module_name.split(".")[0]), "__version__", ""))
    traceable = {n for page in losses().values() for n, entry in page.parameters.items() if entry.get("traceable")}
    traced = tuple(sorted(traceable)) if module_name == "lossproof.backends.jax" else ()
    limits = {"dtype": ["float64"]} if module_name == "lossproof.reference" else {}
    name = target.removesuffix(":")
    return Implementation(functions, name=name, version=version, traced=traced, limits=limits, origin=origin)


def _load(target: str, module_name: str, attribute: str) -> Any:
    try:
        thing: Any = _module(module_name)
        for part in filter(None, attribute.split(".")):
            thing = getattr(thing, part)
    except TargetError:
        raise
    except Exception as problem:
        missing = getattr(problem, "name", "") or ""
        if isinstance(problem, ModuleNotFoundError) and missing.split(".")[0] in FRAMEWORKS:
            raise
        raise TargetError(f"cannot import {target}: {type(problem).__name__}: {problem}") from problem
    return thing


def _only_loss(function: Callable[..., Any], known: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Take a function under another name for the one loss whose required inputs it has, or that was asked for."""
    try:
        own = set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}
    fitting = [
        loss
        for loss in known
        if loss in losses()
        and {name for name, entry in losses()[loss].inputs.items() if not entry.get("optional")} <= own
    ]
    if len(fitting) > 1:
        raise TargetError(f"the parameters fit {', '.join(fitting)}: say which by --loss")
    return {fitting[0]: function} if fitting else {}
