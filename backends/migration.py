"""Which call of ours gives the number that a call of another library gives: `lossproof.dialect`.

Importing this loads no framework; `Call.on` loads the one that it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lossproof.spec import Dialect, Difference, Setting, find, losses

_UNIT = {
    "torch": "torch.nn.functional.normalize({0}, dim=-1)",
    "tensorflow": "tf.math.l2_normalize({0}, -1)",
    "jax": "{0} * jax.lax.rsqrt(jnp.maximum(jnp.sum({0} * {0}, -1, keepdims=True), 1e-24))",  # a row of zeros stays
}
_TURNED = {"torch": "{0}.T", "tensorflow": "tf.transpose({0})", "jax": "{0}.T"}
FRAMEWORKS = tuple(_UNIT)


@dataclass(frozen=True)
class Call:
    """A call of another library as one of ours; `str` of it is a line of Python, `on` is the function.

    Args:
        dialect: what the spec says of the call.
        setting: the loss and the options of the page that it is.
    """

    dialect: Dialect
    setting: Setting

    @property
    def function(self) -> str:
        """The name of our function."""
        return self.setting.loss

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of our function that are not its defaults."""
        return self.setting.keywords

    @property
    def convert(self) -> Mapping[str, Any]:
        """What is done around our function (spec/dialects/schema.json says what each word means)."""
        return self.setting.convert

    @property
    def differs(self) -> tuple[Difference, ...]:
        """Where the library does otherwise than a clause says, although the number is the same elsewhere."""
        return self.dialect.differs

    @property
    def offered(self) -> bool:
        """Whether a call of ours gives the number."""
        return not self.setting.departs

    @property
    def reason(self) -> str:
        """What the library does that no call of ours does; empty where one is offered."""
        return self.setting.departs

    @property
    def _arrays(self) -> dict[str, str]:
        """Own name of each array -> that of the page, in the order of the library's call."""
        page = losses()[self.function].inputs
        known = dict(self.dialect.arguments)
        if "distances" in self.convert.values():
            return known
        return known | {n: n for n, e in page.items() if not e.get("optional") and n not in known.values()}

    def line(self, framework: str = "") -> str:
        """Return the call of ours as Python, with the library's own names of the arrays."""
        if not self.offered:
            return f"# no call of ours gives {self.dialect.name}: {self.reason}"
        kind = framework or (self.dialect.framework if self.dialect.framework in FRAMEWORKS else "torch")
        page = losses()[self.function].inputs
        texts = {name: own for own, name in self._arrays.items()}
        given = _converted(texts, self.convert, page, lambda step, x: _step(step, kind).format(x))
        return self.setting.python(given, next(iter(self._arrays)))

    def __str__(self) -> str:
        return self.line()

    def on(self, framework: str) -> Callable[..., Any]:
        """Return the function of a backend that gives the library's number; it takes its arrays by its names.

        Arrays may be given in the order of the library's call; `mask`, `weights` and their like by their own names.

        Raises:
            ValueError: no call of ours gives it, or there is no such framework.
        """
        if not self.offered:
            raise ValueError(f"no call of ours gives {self.dialect.name}: {self.reason}")
        backend, unit, turned = _backend(framework)
        page, own = losses()[self.function].inputs, self._arrays

        def step(name: str, array: Any) -> Any:
            return {"unit": unit, "columns": turned, **_PLAIN}[name](array)

        def call(*arrays: Any, **named: Any) -> Any:
            given = {**dict(zip(own, arrays, strict=False)), **named}
            converted = _converted({own.get(n, n): a for n, a in given.items()}, self.convert, page, step)
            value = getattr(backend, self.function)(**converted, **self.options)
            value = value / len(next(iter(given.values()))) if self.setting.over_rows else value
            return self.convert.get("times", 1) * value if "times" in self.convert else value

        return call


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "similar": lambda label: label == 0,
    "sign": lambda label: label < 0,
    "distances": lambda distance: distance[..., None],
    "zeros": lambda distance: 0 * distance[..., None],
}
_TEXTS = {"similar": "{0} == 0", "sign": "{0} < 0", "distances": "{0}[..., None]", "zeros": "0 * {0}[..., None]"}


def _step(name: str, framework: str) -> str:
    return {**_TEXTS, "unit": _UNIT[framework], "columns": _TURNED[framework]}[name]


def _converted(
    arrays: Mapping[str, Any], convert: Mapping[str, Any], page: Mapping[str, Any], step: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """Return the arrays of the page from those of the library, by their names on the page."""
    rows = [n for n, e in page.items() if e["kind"] == "float" and n not in ("class_weights", "logits", "targets")]
    done = dict(arrays)
    if "rows" in convert:
        done |= {name: step(convert["rows"], array) for name, array in arrays.items() if name in rows}
    if convert.get("rows") == "distances":
        first = next(array for name, array in arrays.items() if name in rows)
        done |= {n: step("zeros", first) for n in rows if n not in arrays and not page[n].get("optional")}
    if "labels" in convert:
        done["dissimilar"] = step(convert["labels"], arrays["dissimilar"])
    if "table" in convert:
        done["class_weights"] = step("columns", arrays["class_weights"])
    return done


def _backend(framework: str) -> tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]:
    """Return a backend, what divides rows by their norms, and what turns a table."""
    if framework == "torch":
        import torch

        from lossproof.backends import torch as in_torch

        return in_torch, torch.nn.functional.normalize, torch.t
    if framework == "tensorflow":
        import tensorflow as tf

        from lossproof.backends import tensorflow as in_tensorflow

        return in_tensorflow, lambda rows: tf.math.l2_normalize(rows, -1), tf.transpose
    if framework == "jax":
        import jax
        import jax.numpy as jnp

        from lossproof.backends import jax as in_jax

        def unit(rows: Any) -> Any:
            return rows * jax.lax.rsqrt(jnp.maximum(jnp.sum(rows * rows, -1, keepdims=True), 1e-24))

        return in_jax, unit, jnp.transpose
    raise ValueError(f"framework must be one of {', '.join(FRAMEWORKS)}, got {framework!r}")


def dialect(library: str, name: str, **options: Any) -> Call:
    """Return our call that gives the number of a call of another library.

    Args:
        library: its name on the package index or that of its module; `name==version` for that version.
        name: of the call, with the modules before it or without.
        options: as the library calls them; those that are not given have its defaults. Objects of a library are given
            as Python: `distance="distances.CosineSimilarity()"`.

    Returns:
        A `Call`: `print(call)` is a line to paste, `call.on("torch")` the function, and `call.differs` what remains.

    Raises:
        ValueError: a library, a call or a value that the spec does not know.
        TypeError: an option that the call does not have.
    """
    found = find(library, name)
    return Call(found, found.setting(**options))
