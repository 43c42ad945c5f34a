"""For the tests of a library of yours: one line, and each clause that a function is asked about is a test of pytest.

    from lossproof.testing import conformance

    test_conformance = conformance("mylib.losses:triplet", framework="torch", loss="triplet_margin_loss")

It needs the extra `certify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from lossproof.conformance.settings import Settings
from lossproof.conformance.suite import Suite

__all__ = ["conformance"]


def conformance(
    target: str = "",
    *,
    framework: str = "",
    loss: str | Sequence[str] = (),
    known_failures: str = "",
    command: str = "",
    fixed: Mapping[str, object] | None = None,
    rename: Mapping[str, str] | None = None,
    limits: Mapping[str, Iterable[object]] | None = None,
    device: str = "cpu",
    seed: int = 0,
    examples: int = 6,
    time_limit: float = 120.0,
) -> Callable[..., None]:
    """Return a test that pytest runs once for each clause, under the clause's name: `pytest -k TM-1`.

    To collect the tests starts nothing. The first one starts the function in a process of its own, which all tests of
    the module ask and which ends with them; each process of pytest-xdist has its own. A clause that asks for what the
    function does not offer is skipped. One whose failures are all declared is expected to fail, and strictly so: a
    declared failure that does not fail any more is an error. Whatever is wrong with the arguments, the tests say it.

    Args:
        target: `module:function` or `file.py:function`, the file seen from the folder of the tests.
        framework: torch, tensorflow, jax or numpy, or `module:class` of an adapter for another one.
        loss: the loss of the spec that it is, or several where the target has several; the one of the target's own name
            where it is left out.
        known_failures: a file of known failures, seen from the folder of the tests; `lossproof certify
            --write-known-failures FILE` writes it.
        command: instead of a target, a program that speaks the protocol.
        fixed: options that the function has no parameter for, and the values that it works with: {"eps": 0.0}.
        rename: the function's own name of a parameter -> the argument of the page.
        limits: an option -> the values that are claimed for it: {"dtype": ["float32"]}.
        device: cpu or cuda, where the rows of a call lie.
        seed: the same seed asks the same cases.
        examples: structures a probe; scales the effort.
        time_limit: seconds for one case.

    Returns:
        A function to be assigned to a name that begins with `test_`.
    """
    settings = Settings(
        target, framework, command, (loss,) if isinstance(loss, str) and loss else tuple(loss),
        fixed=[f"{name}={_written(value)}" for name, value in (fixed or {}).items()],
        rename=[f"{own}={name}" for own, name in (rename or {}).items()],
        limits=[f"{name}={','.join(map(_written, values))}" for name, values in (limits or {}).items()],
        device=device, seed=seed, examples=examples, time_limit=time_limit,
    )  # fmt: skip
    suite = Suite(settings, known_failures)

    @pytest.mark.parametrize("clause", suite.probes)
    def test(clause: str, request: pytest.FixtureRequest) -> None:
        module = request.node.getparent(pytest.Module)
        assert module is not None
        suite.test(clause, module)

    return test


def _written(value: object) -> str:
    """Return the value of an option as the command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
