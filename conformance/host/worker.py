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
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import decode, encode
from lossproof.conformance.host.case import from_json, to_json
from lossproof.conformance.host.claims import pairs, with_claims
from lossproof.conformance.host.frameworks import Adapter, Framework, Request
from lossproof.conformance.host.implementation import Implementation, TargetError, resolve
from lossproof.conformance.host.rank_group import group_of
from lossproof.conformance.host.ranks import KEYWORDS, merged
from lossproof.conformance.host.targets import load
from lossproof.conformance.host.unnamed import resolve_unnamed
from lossproof.conformance.host.words import cut
from lossproof.spec import functions, losses

PROTOCOL = 1
_HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Serve one implementation until "bye" or the end of input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--framework", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loss", action="append", help="only these losses of the target")
    parser.add_argument("--unnamed", action="store_true", help="nobody says which loss it is: any that it could be")
    for claim in ("--fixed", "--rename", "--limit"):
        parser.add_argument(claim, action="append", default=[])
    options = parser.parse_args(arguments)

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        adapter = adapter_for(options.framework, options.device)
        rename = dict(pairs("--rename", options.rename))
        known = tuple(options.loss or (*losses(), *functions()))
        implementation = (resolve_unnamed if options.unnamed else resolve)(options.target, known, rename)
        implementation = with_claims(implementation, options.fixed, options.limit, rename)
        hello = hello_of(adapter, implementation, adapter.name)
    except (TargetError, ImportError) as problem:
        say({"type": "refused", "reason": _missing(problem, options.framework)})
        return 1

    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "bye":
            break
        if message["type"] == "hello":
            say(hello)
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


def hello_of(adapter: Adapter, implementation: Implementation, framework: str) -> dict[str, Any]:
    """Return the answer to hello: who this is, and what it offers; TargetError where a claim is none of its pages."""
    implementation.check()
    offered = {
        loss: {
            "accepts": implementation.accepted(loss),
            "fixed": {n: _plain(f"fixed {n}", value) for n, value in implementation.fixed_of(loss).items()},
            "limits": {
                n: [_plain(f"limits of {n}", v) for v in vs] for n, vs in implementation.limits_of(loss).items()
            },
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
        "positional": {loss: names for loss in implementation.losses if (names := implementation.positional(loss))},
        "losses": offered,
        "functions": others,
        "dtypes": adapter.dtypes,
        "modes": [*adapter.modes, *(implementation.ranks.modes if implementation.ranks else ())],
        **_ranks_of(adapter, implementation),
        "orders": adapter.orders,
        "integers": adapter.integers,
        "effort": adapter.effort,
        "quick": bool(getattr(adapter, "quick", False)),
    }


def _ranks_of(adapter: Adapter, implementation: Implementation) -> dict[str, Any]:
    """Return what is said of batches over processes, and which functions take their group as a keyword."""
    if implementation.ranks is None:
        return {}
    keyword = KEYWORDS.get(adapter.name, "")
    taking = [loss for loss in implementation.losses if implementation.takes(loss, keyword)]
    return {"ranks": {**asdict(implementation.ranks), "keyword": taking}}


def _plain(where: str, value: Any) -> Any:
    """Return a number, a word or a boolean for JSON."""
    own = value.item() if isinstance(value, np.generic) else value
    if not isinstance(own, bool | int | float | str):
        raise TargetError(f"{where} must be a number, a word or a boolean, got {type(value).__name__}")
    return to_json(own)


def adapter_for(framework: str, device: str) -> Adapter:
    """Return the adapter of a framework, or the one at module:class.

    ImportError and TargetError say what is missing, ValueError that there is none.
    """
    if ":" in framework:
        found = load(framework, *framework.rpartition(":")[::2])[1]
        if not callable(getattr(found, "run", None)):
            raise TargetError(f"--framework {framework} must be the class of an adapter, got {type(found).__name__}")
        own: Adapter = found(device)
        return own
    match Framework(framework):
        case Framework.TORCH:
            from lossproof.conformance.host.frameworks.torch import Torch

            return Torch(device)
        case Framework.TENSORFLOW:
            from lossproof.conformance.host.frameworks.tensorflow import TensorFlow

            return TensorFlow(device)
        case Framework.JAX:
            from lossproof.conformance.host.frameworks.jax import Jax

            return Jax(device)
        case Framework.NUMPY:
            from lossproof.conformance.host.frameworks.numpy import Numpy

            return Numpy(device)


def _random_states() -> dict[str, Any]:
    """Return the random states of Python and numpy."""
    drawn = np.random.get_state(legacy=False)["state"]
    return {"Python's random state": random.getstate(), "numpy's random state": (drawn["pos"], drawn["key"].tobytes())}


def _switches(adapter: Adapter) -> dict[str, Any]:
    """Return what is set for the whole process, which a call leaves as it is."""
    return {"numpy's error handling": np.geterr(), **adapter.switches()}


_at_first = cache(_switches)  # before the first call: what a call sets, it may have set in an earlier one


def answer_to(adapter: Adapter, implementation: Implementation, message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one case; an exception of the implementation is an answer too."""
    if message.get("split"):
        return _of_ranks(adapter, implementation, message)
    parameters = {name: from_json(value) for name, value in message["parameters"].items()}
    inputs = {name: decode(wire) for name, wire in message["inputs"].items()}
    cotangent = message["cotangent"] and decode(message["cotangent"])[0]
    tangents = {name: decode(wire)[0] for name, wire in message["tangents"].items()}

    call = implementation.caller(message["loss"])

    def function(**given: Any) -> Any:
        # the arrays first, as on the page; a compiler that records this need not know `|` of dicts (torch 2.6 does not)
        return call(**{**given, **parameters, **given})

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
        message.get("again", False),
    )
    if ask.audit:  # or a call that sets the seed sets what is set already
        random.random(), np.random.random()
    before = {**_at_first(adapter), **(_random_states() if ask.audit else {})}
    try:
        result = adapter.results(ask) if message.get("results") else adapter.run(ask)
        after = {**_switches(adapter), **_random_states()} if ask.audit else {}
        changed = [*result.get("changed", []), *(name for name, state in after.items() if state != before[name])]
    except Exception as problem:
        return {
            "error": {
                "type": type(problem).__name__,
                "message": cut(str(problem)),
                "traceback": own_traceback(problem),
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


def _of_ranks(adapter: Adapter, implementation: Implementation, message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a case whose batch is spread over processes, made of those of all ranks."""
    ranks, group = implementation.ranks, group_of(adapter.name, adapter.device, len(message["split"]))
    if ranks is None:
        return {"unsupported": "it says nothing of processes"}
    ask = {"target": implementation.target, "rename": dict(implementation.rename), "case": message}
    found = group.ask(ask)
    return {"error": found} if isinstance(found, dict) else merged(found, message["loss"], ranks)


def own_traceback(problem: Exception) -> str:
    """Return the traceback of an implementation that raised, without the frames of the judge that called it."""
    shown = traceback.TracebackException.from_exception(problem)
    frames = list(shown.stack)
    while len(frames) > 1 and Path(frames[0].filename).is_relative_to(_HERE):
        frames.pop(0)
    shown.stack = traceback.StackSummary.from_list(frames[-8:])
    return cut("".join(shown.format()), 6000)


if __name__ == "__main__":
    sys.exit(main())
