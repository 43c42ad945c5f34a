"""One rank of a group, or all of them as devices of one process: JSON lines in, JSON lines out."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from functools import cache
from typing import Any, Protocol

from lossproof.conformance.host.arrays import decode, encode
from lossproof.conformance.host.case import from_json
from lossproof.conformance.host.frameworks import Framework, Request
from lossproof.conformance.host.implementation import Implementation, resolve
from lossproof.conformance.host.words import cut
from lossproof.conformance.host.worker import own_traceback
from lossproof.spec import losses


class Runner(Protocol):
    """How one framework runs a case over processes."""

    keyword: str  # of ours, and of whoever names it alike
    group: Any

    def run(self, ask: Request, split: list[int]) -> list[dict[str, Any]]:
        """Return value and gradients of each rank that is run here, in order."""


def main(arguments: list[str] | None = None) -> int:
    """Answer cases until the end of input, as one rank, or as many as there are pipes."""
    parser = argparse.ArgumentParser()
    for name in ("--framework", "--device", "--meet"):
        parser.add_argument(name, required=True)
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--pipe", action="append", required=True, help="of a rank: where it reads, where it answers")
    options = parser.parse_args(arguments)
    pipes = [tuple(map(int, pipe.split(","))) for pipe in options.pipe]
    if len(pipes) == 1:
        return _serve(options, 0, pipes)
    from lossproof.conformance.host.frameworks import ranks_torch  # noqa: F401  # once, before there are several

    ranks = []
    for rank in range(len(pipes)):
        child = os.fork()
        if not child:
            os._exit(_serve(options, rank, pipes))
        ranks.append(child)
    for pipe in pipes:
        for end in pipe:
            os.close(end)
    sys.stdin.buffer.read()  # its end is that of the group
    for child in ranks:
        os.kill(child, signal.SIGKILL)
    return 0


def _serve(options: argparse.Namespace, rank: int, pipes: list[tuple[int, ...]]) -> int:
    """Be one rank; the pipes of the others are closed, so that their ends are seen."""
    for place, pipe in enumerate(pipes):
        for end in pipe if place != rank else ():
            os.close(end)
    asked, answered = pipes[rank]
    questions = os.fdopen(asked, encoding="utf-8")
    answers = os.fdopen(answered, "w", encoding="utf-8", buffering=1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        runner = _runner(options, rank)
    except Exception as problem:  # of whatever kind: the group cannot be had
        say({"error": {"type": type(problem).__name__, "message": cut(str(problem)), "traceback": ""}})
        return 1
    say({"parts": []})
    for line in questions:
        say(_answer(runner, json.loads(line)))
    return 0


def _runner(options: argparse.Namespace, rank: int) -> Runner:
    match Framework(options.framework):
        case Framework.TORCH:
            from lossproof.conformance.host.frameworks.ranks_torch import TorchRank

            return TorchRank(options.device, options.world, rank, options.meet)
        case Framework.JAX:
            from lossproof.conformance.host.frameworks.ranks_jax import JaxRanks

            return JaxRanks(options.world)
        case Framework.TENSORFLOW:
            from lossproof.conformance.host.frameworks.ranks_tensorflow import TensorFlowRanks

            return TensorFlowRanks(options.world)
        case _:
            raise ValueError(f"{options.framework} has no processes")


@cache
def _implementation(target: str, loss: str, rename: tuple[tuple[str, str], ...]) -> Implementation:
    return resolve(target, (loss,), dict(rename))


def _answer(runner: Runner, message: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of the ranks here, or the error of one of them."""
    try:
        loss, case = message["case"]["loss"], message["case"]
        implementation = _implementation(message["target"], loss, tuple(sorted(message["rename"].items())))
        parameters = {name: from_json(value) for name, value in case["parameters"].items()}
        accepted, call = implementation.takes(loss, runner.keyword), implementation.caller(loss)
        given = {**parameters, **({runner.keyword: runner.group} if accepted else {})}

        def function(**inputs: Any) -> Any:
            return call(**inputs, **{name: value for name, value in given.items() if name not in inputs})

        ask = Request(
            function,
            json.dumps([message["target"], loss, case["parameters"]]),
            {name: decode(wire) for name, wire in case["inputs"].items()},
            case["mode"],
            case["order"],
            case["cotangent"] and decode(case["cotangent"])[0],
            {name: decode(wire)[0] for name, wire in case["tangents"].items()},
            {},
            False,
            losses()[loss].aligned,
            case.get("again", False),
        )
        return {"parts": [_encoded(part) for part in runner.run(ask, case["split"])]}
    except Exception as problem:
        error = {"type": type(problem).__name__, "message": cut(str(problem)), "traceback": own_traceback(problem)}
        return {"error": error}


def _encoded(part: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"value": encode(*part["value"])}
    for kind in ("gradients", "second"):
        if kind in part:
            found[kind] = {name: encode(array, dtype) for name, (array, dtype) in part[kind].items()}
    return found


if __name__ == "__main__":
    sys.exit(main())
