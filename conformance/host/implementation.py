"""What is judged: a target named on the command line, or an `Implementation` object that says more about itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lossproof.conformance.host.frameworks import Framework
from lossproof.conformance.host.options import arguments_of, parameters_of, required_of
from lossproof.conformance.host.ranks import Ranks
from lossproof.conformance.host.signatures import bound, catches_all, parameters
from lossproof.conformance.host.targets import TargetError, home, load, place, split
from lossproof.conformance.host.words import meant
from lossproof.spec import functions, losses

__all__ = ["FRAMEWORKS", "Implementation", "TargetError", "resolve"]

FRAMEWORKS = tuple(str(framework) for framework in Framework)
OURS = {
    "lossproof.backends.torch": Ranks("scaled", "mean"),
    "lossproof.backends.tensorflow": Ranks(),
    "lossproof.backends.jax": Ranks(),
}


@dataclass(frozen=True)
class Implementation:
    """Functions under judgement, and what they say of themselves.

    Args:
        losses: name of the loss, or of another function, in the spec -> function. A function's own parameter names say
            which options it has; a parameter that no page has is left alone, and must have a default.
        name: how certificates call it.
        version: its version.
        rename: name in the function -> name in the spec, for instance {"norm_degree": "p"}.
        fixed: options that no call gives, and the value that the function works with then: one that it has no parameter
            for, or whose own default is not that of the page. What a `functools.partial` binds is fixed too.
        limits: options -> the values it claims, {"p": [1.0, 2.0]}; "dtype" -> the dtypes it claims.
        traced: options that a compiled call may take as arguments, so that a new number needs no new compilation.
        grade: the grade of distance it claims: "direct", "centred" or "normwise". With the last two
            rounding decides ties of distances, and they are not judged.
        ranks: how it spreads a batch over processes, if it does; its function gets the group of a keyword
            `process_group`, `axis_name` or `across_replicas` where it has that.
        origin: loss -> (module or file, expression in it), or (what to import, expression), for the lines that
            reproduce a finding; set by `resolve` where it is not given.
        target: what was resolved, so that other processes can; set by `resolve`.

    A name in any of these that no page of its losses has is an error.
    """

    losses: Mapping[str, Callable[..., Any]]
    name: str = ""
    version: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    traced: tuple[str, ...] = ()
    grade: str = "direct"
    ranks: Ranks | None = None
    origin: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    target: str = ""

    def takes(self, loss: str, keyword: str) -> bool:
        """Whether the function of a loss has a parameter of this name."""
        return any(p.name == keyword for p in parameters(self.losses[loss]))

    def accepted(self, loss: str) -> list[str] | None:
        """Return the names of the spec that the function accepts, or None if it accepts any keyword."""
        own, fixed = parameters(self.losses[loss]), self.fixed_of(loss)
        if catches_all(own):
            return [name for name in arguments_of(loss) if name not in fixed] if fixed else None
        named = {self.rename.get(p.name, p.name): p for p in own if p.kind is not p.VAR_POSITIONAL}
        missing = [name for name in required_of(loss) if name not in named]
        needed = [p.name for name, p in named.items() if p.default is p.empty and name not in arguments_of(loss)]
        bare = [p.name for name, p in named.items() if name in fixed and p.default is p.empty]
        if bare:
            raise TargetError(f"fixed: no call gives {bare[0]!r} of {loss}, so the function must give it a default")
        if missing:
            strays = [p.name for name, p in named.items() if p.default is p.empty and name not in required_of(loss)]
            pairs = " ".join(f"--rename {stray}={name}" for stray, name in zip(strays, missing, strict=False))
            example = f" ({pairs or f'--rename OWN={missing[0]}'}, or `rename` of an Implementation)"
            has = ", ".join(p.name for p in own) or "none"
            raise TargetError(
                f"{loss} is called with {', '.join(required_of(loss))} by name; the function has no parameter "
                f"{', '.join(missing)}. It has {has}: say which is which{example}"
            )
        if needed == ["cotangent"]:
            raise TargetError(f"{loss}: give cotangent the default None; a call without it asks for the value alone")
        if needed:
            near = meant(needed[0], (name for name in arguments_of(loss) if name not in named))
            raise TargetError(
                f"{loss}: no call can give the parameter {needed[0]!r} of the function, which has no default and which "
                f"no argument of the page is called: give it a default, or say which it is by --rename{near}"
            )
        return [name for name in named if name in arguments_of(loss) and name not in fixed]

    def fixed_of(self, loss: str) -> dict[str, Any]:
        """Return the options of a loss that a call cannot give, with the values that they have."""
        held = {self.rename.get(name, name): value for name, value in bound(self.losses[loss]).items()}
        return {name: value for name, value in {**held, **self.fixed}.items() if name in parameters_of(loss)}

    def limits_of(self, loss: str) -> dict[str, list[Any]]:
        """Return the values that are claimed for a loss, by option."""
        return {n: list(values) for n, values in self.limits.items() if n == "dtype" or n in parameters_of(loss)}

    def positional(self, loss: str) -> list[str]:
        """Return the function's own names of the parameters that no keyword reaches, in their order."""
        return [p.name for p in parameters(self.losses[loss]) if p.kind is p.POSITIONAL_ONLY]

    def check(self) -> None:
        """Raise TargetError for the first name that no page of its losses has, and for a value that is no option's."""
        for name, function in self.losses.items():
            refuse_unknown("losses", name, (*losses(), *functions()))
            if inspect.isclass(function) or not callable(function):
                raise TargetError(f"losses: {name} must be a function, got {_shown(function)}")
        options = {name: entry for loss in self.losses for name, entry in parameters_of(loss).items()}
        own = [parameters(function) for function in self.losses.values()]
        every = {argument for loss in self.losses for argument in arguments_of(loss)}
        for old, new in self.rename.items():
            refuse_unknown("rename", new, sorted(every))
            if not any(catches_all(found) for found in own):
                refuse_unknown("rename", old, [p.name for found in own for p in found])
        if len(set(self.rename.values())) < len(self.rename):
            raise TargetError(f"rename: two names are the same argument: {dict(self.rename)}")
        for name in self.fixed:
            refuse_unknown("fixed", name, options)
        for name, values in self.limits.items():
            refuse_unknown("limits", name, (*options, "dtype"))
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise TargetError(f"limits: the values of {name} must be a list, got {values!r}")
        for name in self.traced:
            refuse_unknown("traced", name, options)

    def caller(self, loss: str) -> Callable[..., Any]:
        """Return the function under the names of the page; what is to be known of its signature is read here.

        Positional-only arguments are handed over in their order. A compiler that records the call sees no more than it.
        """
        function, in_order = self.losses[loss], self.positional(loss)
        own_names = {spec_name: own for own, spec_name in self.rename.items()}

        def call(**given: Any) -> Any:
            given = {own_names.get(name, name): value for name, value in given.items()}
            return function(*[given.pop(name) for name in in_order if name in given], **given)

        return call


def refuse_unknown(where: str, name: object, known: Any) -> None:
    """Raise TargetError for a name that is none of those there are."""
    if name not in known:
        raise TargetError(
            f"{where}: {name!r} is unknown; there are {', '.join(known) or 'none'}{meant(str(name), known)}"
        )


def _shown(thing: object) -> str:
    return f"the class {thing.__name__}" if inspect.isclass(thing) else type(thing).__name__


def resolve(target: str, known: tuple[str, ...], rename: Mapping[str, str] | None = None) -> Implementation:
    """Return the implementation a target names: one of our backends, module:object, file.py or file.py:object.

    `known` are the names that are asked for: with one alone, a function is that one, whatever it is called.
    """
    if target in FRAMEWORKS:
        target = "lossproof.reference:" if target == "numpy" else f"lossproof.backends.{target}:"
    module_name, separator, attribute = split(target)
    if not separator:
        raise TargetError(
            f"{target!r} is no target: torch, tensorflow, jax, numpy, module:object, file.py or file.py:object"
            f"{meant(target, FRAMEWORKS)}"
        )
    module, thing = load(target, module_name, attribute)
    if isinstance(thing, Implementation):
        origin = {
            loss: home(function, module_name) or place(module_name, f"{attribute}.losses[{loss!r}]")
            for loss, function in thing.losses.items()
        } | dict(thing.origin)
        return replace(thing, origin=origin, name=thing.name or target, target=target)
    if inspect.isclass(thing):
        raise TargetError(_advice(target, attribute, known))
    if callable(thing) and not isinstance(thing, Mapping):
        found = dict.fromkeys([_named(target, thing, attribute, known, rename or {})], thing)
        origin = dict.fromkeys(found, place(module_name, attribute))
    else:
        members = thing if isinstance(thing, Mapping) else vars(thing)
        for name in thing if isinstance(thing, Mapping) else ():
            refuse_unknown(target, name, (*losses(), *functions()))
        found = {loss: members[loss] for loss in known if callable(members.get(loss))}
        path = f"{attribute}[{{!r}}]" if isinstance(thing, Mapping) else f"{attribute}.{{}}" if attribute else "{}"
        origin = {
            loss: (home(function, module_name) if isinstance(thing, Mapping) else None)
            or place(module_name, path.format(loss))
            for loss, function in found.items()
        }
    if not found:
        raise TargetError(_nothing(target, known))
    traceable = {n for loss in found for n, entry in parameters_of(loss).items() if entry.get("traceable")}
    traced = tuple(sorted(traceable)) if module_name == "lossproof.backends.jax" else ()
    limits = {"dtype": ["float64"]} if module_name == "lossproof.reference" else {}
    return Implementation(
        found, target.removesuffix(":"), module.version, rename or {}, limits=limits, traced=traced, origin=origin,
        ranks=OURS.get(module_name), target=target,
    )  # fmt: skip


def _nothing(target: str, known: tuple[str, ...]) -> str:
    whole = ", ".join(name for name in known if name in losses())
    others = ", ".join(name for name in known if name not in losses())
    return (
        f"{target}: nothing in it is a loss of the spec ({whole}), nor a function of it ({others or 'none asked for'})"
    )


def _named(target: str, thing: Any, attribute: str, known: tuple[str, ...], rename: Mapping[str, str]) -> str:
    """Return which loss or function a callable is: the one asked for, or that of its name, or that of its arguments."""
    if len(known) == 1:
        return known[0]
    for name in (attribute.split(".")[-1], getattr(thing, "__name__", "")):
        if name in known:
            return name
    own = {rename.get(p.name, p.name) for p in parameters(thing)}
    fitting = [loss for loss in known if loss in losses() and set(required_of(loss)) <= own]
    if len(fitting) > 1:
        raise TargetError(f"the parameters fit {', '.join(fitting)}: say which by --loss")
    if not fitting:
        near = meant(attribute.split(".")[-1], known)
        raise TargetError(f"{_nothing(target, known)}: say which it is by --loss{near}")
    return fitting[0]


def _advice(target: str, attribute: str, known: tuple[str, ...]) -> str:
    """Say how a class becomes a function."""
    loss = known[0] if len(known) == 1 else "triplet_margin_loss"
    inputs = ", ".join(required_of(loss))
    return (
        f"{target} is a class; a target is a function or an object that is called like one, for instance "
        f"`def {loss}({inputs}, **options): return {attribute}(**options)({inputs})`"
    )
