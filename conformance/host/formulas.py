"""Formulas of repositories that are no packages as implementations, with what the dialects of the repositories say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.signatures import parameters
from lossproof.spec import find

SETTLED = {"reduction": "mean"}  # an option that the function has no parameter for, where the dialect says no more


def formula(
    library: str,
    name: str,
    function: Callable[..., Any],
    *others: tuple[str, Callable[..., Any]],
    limits: Mapping[str, Any],
    grade: str = "direct",
    also: Mapping[str, Any] | None = None,
    **held: Any,
) -> Implementation:
    """Return a formula as an implementation: options that it has no parameter for are those of its dialect.

    Args:
        library: owner/name of the repository.
        name: of its call.
        function: the formula, under the names of the page. Where the repository divides by all rows, it gives the sum.
        others: functions of the page that are no loss, as pairs of name and function.
        limits: as `Implementation` has them.
        grade: of its distances, likewise.
        also: options of the functions that are no loss, which a dialect does not speak of.
        held: options of the repository's own that keep this value.
    """
    dialect = find(library, name)
    setting, own = dialect.setting(**held), {parameter.name for parameter in parameters(function)}
    options = {**SETTLED, **setting.options}
    if "denominator" in setting.convert:
        options["reduction"] = "sum"
    shown = ", ".join(f"{option}={value!r}" for option, value in held.items())
    return Implementation(
        {dialect.loss: function, **dict(others)},
        name=f"formula of {library} {name}" + (f"({shown})" if shown else ""),
        version=dialect.tested[0],
        fixed={n: value for n, value in {**options, **(also or {})}.items() if n not in own},
        limits=limits,
        grade=grade,
    )
