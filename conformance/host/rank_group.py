"""A warm group of processes over which batches are spread: started once, and ended whole when one of them fails."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lossproof.conformance.host.ranks import APART

PATIENCE = 90.0  # seconds for an answer of all ranks; a rank that waits in vain gives up before, and says so
GRACE = 5.0  # seconds for the others when one has raised
START = 180.0
SINGLE = ("jax", "tensorflow")  # whose devices are those of one process


class RankGroup:
    """The processes of one framework, or one with W devices; after a failure the next case starts them anew.

    One process loads the framework and becomes all of them by `fork`, before it has computed anything.
    """

    def __init__(self, framework: str, device: str, world: int):
        self.framework, self.device, self.world = framework, device, world
        self._first: subprocess.Popen[bytes] | None = None
        self._pipes: list[tuple[int, int]] = []  # of each rank: where it reads, and where it answers
        self._meet: tempfile.TemporaryDirectory[str] | None = None
        atexit.register(self.end)

    def ask(self, message: Mapping[str, Any]) -> list[dict[str, Any]] | dict[str, str]:
        """Return what each rank answers to one case, in order; or one error, of the first rank that raised."""
        if self._first is None:
            problem = self._start()
            if problem:
                return problem
        line = json.dumps(message).encode() + b"\n"
        try:
            for questions, _ in self._pipes:
                with open(questions, "wb", closefd=False) as stream:
                    stream.write(line)
        except OSError:
            self.end()
            return {"type": "RankDied", "message": "a process of the group is gone"}
        return self._collected(PATIENCE)

    def end(self) -> None:
        """End every process of the group: the first one ends the others when its input does."""
        for pipe in self._pipes:
            for end in pipe:
                os.close(end)
        self._pipes = []
        if self._first is not None:
            assert self._first.stdin is not None
            self._first.stdin.close()
            try:
                self._first.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                self._first.kill()
                self._first.wait()
            self._first = None
        if self._meet is not None:
            self._meet.cleanup()
            self._meet = None

    def _start(self) -> dict[str, str] | None:
        self._meet = tempfile.TemporaryDirectory(prefix="lossproof-ranks-")
        ranks = 1 if self.framework in SINGLE else self.world
        questions, answers = ([os.pipe() for _ in range(ranks)] for _ in range(2))
        theirs = [*(read for read, _ in questions), *(write for _, write in answers)]
        self._pipes = [(write, read) for (_, write), (read, _) in zip(questions, answers, strict=True)]
        command = [sys.executable, "-m", "lossproof.conformance.host.rank_worker", "--framework", self.framework]
        command += ["--device", self.device, "--world", str(self.world), "--meet", str(Path(self._meet.name) / "meet")]
        command += [f"--pipe={read},{write}" for (read, _), (_, write) in zip(questions, answers, strict=True)]
        devices = f"--xla_force_host_platform_device_count={self.world}"
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {devices}".strip()
        self._first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, env=environment, pass_fds=theirs)
        for end in theirs:
            os.close(end)
        ready = self._collected(START)
        return ready if isinstance(ready, dict) else None

    def _collected(self, patience: float) -> list[dict[str, Any]] | dict[str, str]:
        """Return one line of each rank; where one raises, dies or is late, end the group and return that."""
        lines: list[dict[str, Any] | None] = [None] * len(self._pipes)
        error: dict[str, str] | None = None
        deadline = time.monotonic() + patience
        buffers = [b""] * len(self._pipes)
        with selectors.DefaultSelector() as selector:
            for place, (_, answers) in enumerate(self._pipes):
                selector.register(answers, selectors.EVENT_READ, place)
            while any(line is None for line in lines):
                ready = selector.select(max(deadline - time.monotonic(), 0))
                if not ready:
                    self.end()
                    late = ", ".join(str(place) for place, line in enumerate(lines) if line is None)
                    return error or {"type": "RankLate", "message": f"rank {late} gave no answer in {patience:g} s"}
                for key, _ in ready:
                    piece = os.read(key.fd, 1 << 20)
                    if not piece:
                        self.end()
                        return error or {"type": "RankDied", "message": f"rank {key.data} died"}
                    buffers[key.data] += piece
                    if buffers[key.data].endswith(b"\n"):
                        found: dict[str, Any] = json.loads(buffers[key.data])
                        lines[key.data] = found
                        if "error" in found and error is None:
                            error = found["error"]
                            deadline = min(deadline, time.monotonic() + GRACE)
        if error is None:
            return [part for line in lines if line is not None for part in line["parts"]]
        errors = [line.get("error") if line else None for line in lines]
        if all(errors) and not any(each and each["type"] in APART for each in errors):
            return error
        self.end()  # those that did not raise are somewhere else in their exchanges
        return {**error, "type": "RanksApart", "message": f"{error['type']}: {error['message']} (not on every rank)"}


@cache
def group_of(framework: str, device: str, world: int) -> RankGroup:
    """Return the group of a framework in this process, the same for every case and implementation."""
    return RankGroup(framework, device, world)
