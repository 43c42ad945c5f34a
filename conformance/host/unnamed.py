"""A function of which nobody said what loss it is: it is offered as every loss whose arrays it could take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lossproof.conformance.host.implementation import Implementation, resolve
from lossproof.conformance.host.options import inputs_of, required_of
from lossproof.conformance.host.signatures import parameters
from lossproof.conformance.host.targets import TargetError, load, place, split
from lossproof.spec import losses

# Names that people give to arrays which are no rows; the others are taken in their order
LABELS = {"y", "y_true", "label", "labels", "target", "targets", "t", "ids", "pids", "classes", "identities", "similar"}
VAGUE = {"y", "t"}  # labels only where nothing else is called one
TABLES = {"w", "weight", "weights", "class_weights", "centers", "proxies", "kernel", "table", "prototypes", "lut"}


def resolve_unnamed(target: str, known: tuple[str, ...], rename: Mapping[str, str]) -> Implementation:
    """Return what a target names, under every loss of `known` whose required arrays it could be called with."""
    module_name, separator, attribute = split(target)
    if not separator:
        return resolve(target, known, rename)
    module, thing = load(target, module_name, attribute)
    if inspect.isclass(thing) or not callable(thing):
        return resolve(target, known, rename)
    own = [p for p in parameters(thing) if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [rename.get(p.name, p.name) for p in own]
    numbers = [name for name in names if len(name) > 1 and any(name in page.parameters for page in losses().values())]
    if numbers:
        raise TargetError(
            f"{target}: {', '.join(numbers)} must have a default, for a loss is called with its arrays alone; "
            f"functools.partial gives one"
        )
    fitting = [loss for loss in known if loss in losses() and len(required_of(loss)) == len(own)]
    exact = [loss for loss in fitting if set(required_of(loss)) == set(names)]
    fitting = [loss for loss in fitting if _has_places(loss, names)] or fitting
    if not fitting:
        counts = ", ".join(f"{loss} {len(required_of(loss))}" for loss in known if loss in losses())
        raise TargetError(
            f"{target} has {len(own)} parameters without a default ({', '.join(names) or 'none'}), and a loss is "
            f"called with its arrays alone: {counts}; give the others a default, as functools.partial does"
        )
    found = {loss: _called(thing, [p.name for p in own], _pairs(loss, names)) for loss in exact or fitting}
    origin = dict.fromkeys(found, place(module_name, attribute))
    return Implementation(found, target, module.version, origin=origin, target=target)


def _has_places(loss: str, names: list[str]) -> bool:
    """Whether a loss takes as many labels and tables as the names of the function's arrays say."""
    said = [_kind(name) for name in names if name.lower() not in VAGUE]
    return all(said.count(kind) <= len(places) for kind, places in _places(loss).items())


def _pairs(loss: str, names: list[str]) -> list[str]:
    """Return, for each of the function's arrays in its order, the page's name of it."""
    page = required_of(loss)
    found: list[str | None] = [name if name in page else None for name in names]
    left = [name for name in page if name not in found]
    for number, name in sorted(enumerate(names), key=lambda one: one[1].lower() in VAGUE):
        pool = [n for n in _places(loss).get(_kind(name), []) if n in left]
        if found[number] is None and pool:
            found[number] = pool[0]
            left.remove(pool[0])
    rest = iter(left)  # in the order of the page
    return [name if name is not None else next(rest) for name in found]


def _kind(name: str) -> str:
    return "label" if name.lower() in LABELS else "table" if name.lower() in TABLES else ""


def _places(loss: str) -> dict[str, list[str]]:
    """Return the page's names of the arrays that are labels, or shares of each label, and of those that are tables."""
    page = required_of(loss)
    return {
        "label": [name for name in page if inputs_of(loss)[name]["kind"] != "float" or name == "targets"],
        "table": [name for name in page if name in ("class_weights", "centers", "lookup_table", "queue")],
    }


def _called(function: Callable[..., Any], own: list[str], page: list[str]) -> Callable[..., Any]:
    """Return the function under the page's names; a gradient that it returns by its own names gets the page's."""
    takes_cotangent = any(p.name == "cotangent" for p in parameters(function))
    names = dict(zip(own, page, strict=True))

    def call(**given: Any) -> Any:
        extra = {"cotangent": given.pop("cotangent")} if "cotangent" in given else {}
        answer = function(*[given[name] for name in page], **extra)
        if extra and isinstance(answer, tuple):
            return answer[0], {names.get(name, name): gradient for name, gradient in answer[1].items()}
        return answer

    kinds = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in page]
    if takes_cotangent:
        kinds.append(inspect.Parameter("cotangent", inspect.Parameter.KEYWORD_ONLY, default=None))
    call.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    return call
