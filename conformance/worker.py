"""The process an implementation runs in: JSON lines in, JSON lines out (protocol.md).

Standard output belongs to the protocol, so whatever the implementation prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import traceback
from functools import cache
from typing import Any

import numpy as np

from lossproof.conformance.arrays import decode, encode
from lossproof.conformance.case import from_json, to_json
from lossproof.conformance.frameworks import Request
from lossproof.conformance.implementation import Implementation, TargetError, resolve
from lossproof.spec import functions, losses

PROTOCOL = 1


def main(arguments: list[str] | None = None) -> int:
    """Serve one implementation until "bye" or the end of input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--framework", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loss", action="append", help="only these losses of the target")
    options = parser.parse_args(arguments)

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        adapter = adapter_for(options.framework, options.device)
        implementation = resolve(options.target, tuple(options.loss or (*losses(), *functions())))
    except (TargetError, ImportError) as problem:
        say({"type": "refused", "reason": _missing(problem, options.framework)})
        return 1

    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "bye":
            break
        if message["type"] == "hello":
            say(hello_of(adapter, implementation, options.framework))
            continue
        say({"type": "answer", "id": message["id"], **answer_to(adapter, implementation, message)})
    return 0


def _missing(problem: Exception, framework: str) -> str:
    if isinstance(problem, ModuleNotFoundError) and (problem.name or "").split(".")[0] in (
        framework,
        "keras",
    ):
        return f"{framework} is not installed: python -m pip install 'lossproof[{framework}]'"
    return str(problem)


def hello_of(adapter: Any, implementation: Implementation, framework: str) -> dict[str, Any]:
    """Return the answer to hello: who this is, and what it offers."""
    offered = {
        loss: {
            "accepts": implementation.accepted(loss),
            "fixed": {name: to_json(value) for name, value in implementation.fixed.items()},
            "limits": {name: [to_json(value) for value in values] for name, values in implementation.limits.items()},
        }
        for loss in implementation.losses
    }
    others = {name: offered.pop(name) for name in functions() if name in offered}
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "name": implementation.name,
        "version": implementation.version,
        "framework": framework,
        "framework_version": adapter.version,
        "device": adapter.device,
        "grade": implementation.grade,
        "rename": dict(implementation.rename),
        "origin": {loss: list(where) for loss, where in implementation.origin.items()},
        "losses": offered,
        "functions": others,
        "dtypes": adapter.dtypes,
        "modes": adapter.modes,
        "orders": adapter.orders,
        "integers": adapter.integers,
        "effort": adapter.effort,
    }


def adapter_for(framework: str, device: str) -> Any:
    """Return the adapter of a framework; ImportError says what is missing."""
    if framework == "torch":
        from lossproof.conformance.frameworks.torch import Torch as Adapter
    elif framework == "tensorflow":
        from lossproof.conformance.frameworks.tensorflow import TensorFlow as Adapter  # type: ignore[assignment]
    elif framework == "jax":
        from lossproof.conformance.frameworks.jax import Jax as Adapter  # type: ignore[assignment]
    else:
        from lossproof.conformance.frameworks.numpy import Numpy as Adapter  # type: ignore[assignment]
    return Adapter(device)


def _random_states() -> dict[str, Any]:
    """Return the random states of Python and numpy."""
    drawn = np.random.get_state(legacy=False)["state"]
    return {"Python's random state": random.getstate(), "numpy's random state": (drawn["pos"], drawn["key"].tobytes())}


def _switches(adapter: Any) -> dict[str, Any]:
    """Return what is set for the whole process, which a call leaves as it is."""
    return {"numpy's error handling": np.geterr(), **adapter.switches()}


_at_first = cache(_switches)  # before the first call: what a call sets, it may have set in an earlier one


def answer_to(adapter: Any, implementation: Any, message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one case; an exception of the implementation is an answer too."""
    parameters = {name: from_json(value) for name, value in message["parameters"].items()}
    inputs = {name: decode(wire) for name, wire in message["inputs"].items()}
    cotangent = message["cotangent"] and decode(message["cotangent"])[0]
    tangents = {name: decode(wire)[0] for name, wire in message["tangents"].items()}

    def function(**given: Any) -> Any:
        own = {name: given.pop(name) for name in parameters if name in given}
        return implementation.call(message["loss"], given, {**parameters, **own})

    page = losses().get(message["loss"])
    traceable = [n for n in implementation.traced if page and page.parameters.get(n, {}).get("traceable")]
    traced = {name: parameters[name] for name in traceable if parameters.get(name)}
    key = json.dumps([message["loss"], {n: v for n, v in message["parameters"].items() if n not in traced}])
    ask = Request(
        function,
        key,
        inputs,
        message["mode"],
        message["order"],
        cotangent,
        tangents,
        traced,
        message.get("audit", False),
        page.aligned if page else (),
    )
    if ask.audit:  # or a call that sets the seed sets what is set already
        random.random(), np.random.random()
    before = {**_at_first(adapter), **(_random_states() if ask.audit else {})}
    try:
        result = adapter.results(ask) if message.get("results") else adapter.run(ask)
        after = {**_switches(adapter), **_random_states()} if ask.audit else {}
        changed = [*result.get("changed", []), *(name for name, state in after.items() if state != before[name])]
    except Exception as problem:
        text = traceback.format_exc(limit=-8)
        return {
            "error": {
                "type": type(problem).__name__,
                "message": str(problem)[:2000],
                "traceback": text[-6000:],
            }
        }
    if "unsupported" in result:
        return dict(result)
    encoded: dict[str, Any] = {"changed": changed}
    if "results" in result:
        encoded["results"] = [encode(array, dtype) for array, dtype in result["results"]]
    else:
        encoded["value"] = encode(*result["value"])
    for part in ("gradients", "second"):
        if part in result:
            encoded[part] = {name: encode(array, dtype) for name, (array, dtype) in result[part].items()}
    return encoded


if __name__ == "__main__":
    sys.exit(main())
