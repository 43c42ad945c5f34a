"""Public calls of other libraries as implementations, made from their dialects.

A dialect says what the arrays and the options of a call are on a page. Turned round, it is a function under the names
of the page that makes the library's own call: one line of Python, which is also the line that shows a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.options import required_of
from lossproof.conformance.host.ranks import Ranks
from lossproof.conformance.host.targets import TargetError
from lossproof.spec import Dialect, find, losses
from lossproof.spec.dialect import code, value_of
from lossproof.spec.dialect_lookup import covers

_LABELS = {  # each refuses what is not boolean, as the page does: the library's labels are numbers
    "torch": {
        "similar": "torch.ones_like({0}, dtype=torch.int64).masked_fill({0}, 0)",
        "sign": "torch.ones_like({0}, dtype=torch.int64).masked_fill({0}, -1)",
    },
    "tensorflow": {"similar": "tf.where({0}, 0, 1)", "sign": "tf.where({0}, -1, 1)"},
    "jax": {
        "similar": "jax.lax.select({0}, jnp.zeros({0}.shape, int), jnp.ones({0}.shape, int))",
        "sign": "jax.lax.select({0}, -jnp.ones({0}.shape, int), jnp.ones({0}.shape, int))",
    },
}
_DISTANCE = {  # with the gradient 0 at 0, and NaN where a row holds NaN
    "torch": "torch.linalg.vector_norm({0} - {1}, dim=-1)",
    "tensorflow": "(lambda s: tf.sqrt(tf.where(s == 0, 1, s)) * tf.cast(s != 0, s.dtype))"
    "(tf.reduce_sum(({0} - {1}) ** 2, -1))",
    "jax": "(lambda s: jnp.sqrt(jnp.where(s == 0, 1, s)) * (s != 0))((({0} - {1}) ** 2).sum(-1))",
    "paddle": "(lambda s: paddle.sqrt(paddle.where(s <= 0, paddle.ones_like(s), s)) * (1 - (s <= 0).astype(s.dtype)))"
    "((({0} - {1}) ** 2).sum(-1))",
}
_COLUMNS = {"torch": "{0}.T", "tensorflow": "tf.transpose({0})", "jax": "{0}.T"}
_FRAMEWORK = {
    "torch": "import torch",
    "tensorflow": "import tensorflow as tf",
    "jax": "import jax, jax.numpy as jnp",
    "paddle": "import paddle",
    "mlx": "import mlx.core as mx",
}


def peer(
    library: str,
    name: str,
    function: Callable[..., Any] | None = None,
    *,
    grade: str = "direct",
    ranks: Ranks | None = None,
    **held: Any,
) -> Implementation:
    """Return the implementation that a public call is, with what its dialect says of it.

    Args:
        library: as `lossproof.dialect` takes it.
        name: of the call, likewise.
        function: the call itself, where it has the defaults of the page and differs in names alone; without it, the
            function is made from the `python` of the dialect.
        grade: of its distances, as `Implementation` says.
        ranks: how it spreads a batch over processes.
        held: options of the library's own that keep this value.
    """
    dialect, installed = find(library, name), _version(library)
    if installed and not covers(dialect.versions, installed):
        raise TargetError(f"{dialect.library} {installed} is installed, and its dialect speaks of {dialect.versions}")
    shown = dialect.name + (f"({', '.join(f'{n}={code(v)}' for n, v in held.items())})" if held else "")
    own = _own(dialect, held)
    if function is not None:
        names = {**dialect.arguments, **{n: dialect.scaled(n)[0] for n in dialect.options}}
        rename = {n: page for n, page in names.items() if n != page}
        page = losses()[dialect.loss].parameters
        other = [n for n, value in dialect.defaults.items() if value != page[names[n]].get("default")]
        if other:
            raise TargetError(f"{dialect.name}: the default of {other[0]} is not that of the page: give its `python`")
        return Implementation(
            {dialect.loss: function}, shown, installed, rename, own.fixed, own.limits, grade=grade, ranks=ranks
        )
    text = _text(dialect, own)
    imports = dialect.imports or _FRAMEWORK[dialect.framework]
    space: dict[str, Any] = {}
    exec(f"{_FRAMEWORK[dialect.framework]}; from math import inf, nan; {imports}", space)
    made, origin = {dialect.loss: eval(text, space)}, {dialect.loss: (imports, text)}
    return Implementation(made, shown, installed, {}, own.fixed, own.limits, grade=grade, ranks=ranks, origin=origin)


@dataclass
class _Own:
    """What the options of a call become: their code, the page's options that are free, those that are not."""

    code: list[str] = field(default_factory=list)
    free: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, list[Any]] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    convert: Mapping[str, Any] = field(default_factory=dict)


def _own(dialect: Dialect, held: Mapping[str, Any]) -> _Own:
    found, chosen, page = _Own(limits=dict(dialect.limits)), dict(held), losses()[dialect.loss].parameters
    for name in dict.fromkeys((*dialect.options, *dialect.values)):
        words = _words(dialect, name)
        if name in held:
            found.code.append(f"{name}={code(held[name])}")
        elif name in dialect.options:
            option, times = dialect.scaled(name)
            found.free[option] = chosen[name] = page[option].get("default")  # and not the library's, which is a setting
            found.code.append(f"{name}={option}" if times is None else f"{name}={option} / {times!r}")
        elif len(words) > 1:
            (option,) = {option for option, _ in words.values()}
            of = {value: value_of(word) for word, (_, value) in words.items()}
            default = page[option].get("default")
            if default not in of:  # then a call without the option is none of the page's: it has the first word
                chosen[name] = next(iter(of.values()))
                found.code.append(f"{name}={code(chosen[name])}")
                continue
            found.free[option] = default
            found.limits.setdefault(option, list(of))
            chosen[name] = of[default]
            table = ", ".join(f"{value!r}: {code(word)}" for value, word in of.items())
            found.code.append(f"{name}={{{table}}}[{option}]")
        elif words:
            chosen[name] = value_of(next(iter(words)))
            found.code.append(f"{name}={code(chosen[name])}")
    setting = dialect.setting(**chosen)
    found.fixed = {name: value for name, value in setting.options.items() if name not in found.free}
    found.convert = setting.convert
    return found


def _words(dialect: Dialect, name: str) -> dict[str, tuple[str, Any]]:
    """Return the values of an own option that set one option of the page, the same of each, and do nothing besides."""
    found = {
        word: next(iter(meaning["fixed"].items()))
        for word, meaning in dialect.values.get(name, {}).items()
        if meaning.keys() == {"fixed"} and len(meaning["fixed"]) == 1
    }
    return found if len({option for option, _ in found.values()}) == 1 else {}


def _text(dialect: Dialect, own: _Own) -> str:
    """Return the function, under the names of the page, as a line of Python."""
    page, convert = losses()[dialect.loss], own.convert
    kind, required = dialect.framework, required_of(dialect.loss)
    if convert.get("rows") == "unit" or "denominator" in convert:
        word = convert.get("rows", "denominator")
        raise TargetError(f"{dialect.name}: no call of the page is {word!r}; hold an option that turns it off")
    arrays = dict(dialect.arguments)
    if convert.get("rows") == "distances":
        own.limits.setdefault("dtype", ["float32", "float64"])  # half rows are no matter of what takes distances
        (zero,) = [name for name in page.rows if name not in arrays.values()]
        for own_name, name in arrays.items():
            if name in page.rows:
                arrays[own_name] = _DISTANCE[kind].format(zero, name)
    for own_name, name in dialect.arguments.items():
        if name == "dissimilar" and "labels" in convert:
            arrays[own_name] = _LABELS[kind][convert["labels"]].format(name)
        if name == "class_weights" and "table" in convert:
            arrays[own_name] = _COLUMNS[kind].format(name)
    optional = [name for name in dialect.arguments.values() if name not in required]
    given = [*required, *(f"{n}=None" for n in optional), *(f"{n}={v!r}" for n, v in own.free.items())]
    call = dialect.filled(", ".join(own.code), arrays)
    if "times" in convert:
        call = f"({call}) / {convert['times']!r}"
    return f"lambda {', '.join(given)}: {call}"


def _version(library: str) -> str:
    try:
        return version(library.partition("==")[0])
    except PackageNotFoundError:
        return ""
