"""What the command line says of a Python implementation, as an `Implementation` says it of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossproof.conformance.host.implementation import Implementation, TargetError, refuse_unknown
from lossproof.conformance.host.options import expectation, parameters_of
from lossproof.conformance.host.words import meant


def with_claims(
    implementation: Implementation, fixed: list[str], limits: list[str], rename: Mapping[str, str]
) -> Implementation:
    """Return an implementation with what the command line says of it: NAME=VALUE, NAME=VALUE,VALUE and OWN=NAME."""
    options = {name: entry for loss in implementation.losses for name, entry in parameters_of(loss).items()}
    return replace(
        implementation,
        rename={**implementation.rename, **rename},
        fixed={**implementation.fixed, **{n: read("--fixed", n, v, options) for n, v in pairs("--fixed", fixed)}},
        limits={
            **implementation.limits,
            **{n: [read("--limit", n, v, options) for v in vs.split(",")] for n, vs in pairs("--limit", limits)},
        },
    )


def pairs(option: str, texts: list[str]) -> list[tuple[str, str]]:
    """Return NAME=VALUE as pairs; TargetError for anything else."""
    for text in texts:
        if not all(part.strip() for part in text.partition("=")):
            raise TargetError(f"{option} {text!r} must be NAME=VALUE")
    return [(name.strip(), value.strip()) for name, _, value in (text.partition("=") for text in texts)]


def read(option: str, name: str, text: str, options: Mapping[str, Any]) -> Any:
    """Return a value from the command line as the page's kind of option has it: a number, a word, true or false."""
    if name == "dtype" and option == "--limit":
        return text
    refuse_unknown(option, name, options)
    words: dict[str, Any] = {"true": True, "false": False} if options[name]["kind"] == "bool" else {}
    value: Any = words.get(text.lower(), text)
    if options[name]["kind"] in ("real", "count", "integer"):
        try:
            value = float(text) if options[name]["kind"] == "real" else int(text)
        except ValueError:
            value = text
    wanted = expectation(options[name], value)
    if wanted:
        raise TargetError(f"{option} {name}={text}: must be {wanted}{meant(text, options[name].get('choices', ()))}")
    return value
