"""The judge's end of the protocol: start a process, ask, wait no longer than allowed, start another if it dies."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jsonschema

from lossproof.conformance.host.case import Answer, Case, read_answer
from lossproof.conformance.host.hello import fault
from lossproof.conformance.host.words import cut
from lossproof.conformance.schemas import schema

_LONGEST_LINE = 256 * 2**20
_TAIL = 40
_SHOWN = 200  # characters of a line that is no answer
_PATIENCE = 5.0  # seconds that a process has to end
_GLANCE = 0.5  # seconds between two looks at whether a process that is silent still runs

HUNG = "gave no answer within"


class Asked(Protocol):
    """Whoever answers cases: a process, or functions of this one."""

    hello: dict[str, Any]

    def ask(self, case: Case) -> Answer:
        """Return the answer to one case; never raises for what the implementation does."""

    def close(self) -> None:
        """End what answers."""


class SessionError(Exception):
    """There is nothing to judge: the process did not start, did not say hello, or answers no plain call.

    The message is one line; `details` are more lines to show below it, such as the traceback of the implementation.
    """

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Start what ends a process group when this process is gone, however it went: its end of the pipe closes then."""
    code = f"read line; kill -s KILL -- -{group}"
    null = subprocess.DEVNULL
    command = ["/bin/sh", "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True)


class Session:
    """One implementation in a process of its own.

    A case that crashes, hangs or floods the process is an `Answer` with `failure`; the next case gets a new process.
    The process is the leader of a group of its own, and whatever it has started there ends with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        time_limit: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ):
        self.command = list(command)
        self.time_limit = time_limit
        compiled = tempfile.mkdtemp(prefix="lossproof-")  # half a file of a killed process harms no other session
        self._forget = weakref.finalize(self, shutil.rmtree, compiled, ignore_errors=True)
        self.environment = {
            "TORCHINDUCTOR_CACHE_DIR": compiled,
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **(environment or {}),
        }
        self.crashes = 0
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self.hello = self._start()

    def ask(self, case: Case) -> Answer:
        """Return the answer to one case; never raises for what the implementation does."""
        if self._process is None:
            try:
                self._start()
            except SessionError as problem:
                self.crashes += 1
                return Answer(failure=str(problem))
        self._number += 1
        line = self._exchange(case.message(self._number))
        if isinstance(line, Answer):
            self.crashes += 1
            return line
        try:
            message = json.loads(line)
            if not isinstance(message, dict) or message.get("type") != "answer":
                raise ValueError("not an answer")
            if message.get("id") != self._number:
                raise ValueError(f"the answer to case {message.get('id')}, not to case {self._number}")
            return read_answer(message)
        except (ValueError, RecursionError) as problem:
            self.crashes += 1
            self._stop()
            return Answer(failure=f"answered garbage: {cut(str(problem), _SHOWN)}: {cut(line, _SHOWN)!r}")

    def close(self) -> None:
        """End the process, and forget what it has compiled."""
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(b'{"type": "bye"}\n')
                self._process.stdin.flush()
                self._process.wait(timeout=_PATIENCE)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self._stop()
        self._forget()

    def _start(self) -> dict[str, Any]:
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
            )
        except OSError as problem:
            raise SessionError(f"cannot start {' '.join(self.command)}: {problem}") from problem
        self._guard = _guard(self._process.pid)
        self._buffer = bytearray()
        self._tail = deque(maxlen=_TAIL)
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        for end in (self._process.stdin, self._process.stdout):
            os.set_blocking(end.fileno(), False)
        self._reader = threading.Thread(target=_drain, args=(self._process.stderr, self._tail), daemon=True)
        self._reader.start()
        line = self._exchange({"type": "hello", "protocol": 1}, time_limit=max(self.time_limit, 180.0))
        if isinstance(line, Answer):
            raise SessionError(f"{' '.join(self.command)} {line.failure}")
        try:
            hello = json.loads(line)
            kind = hello["type"]
        except (ValueError, KeyError, TypeError, RecursionError) as problem:
            self._stop()
            raise SessionError(f"{' '.join(self.command)} answered hello with {cut(line, _SHOWN)!r}") from problem
        if kind != "hello":
            self._stop()
            raise SessionError(cut(str(hello.get("reason", f"answered hello with {cut(line, _SHOWN)!r}"))))
        try:
            jsonschema.validate(hello, {"$ref": "#/$defs/hello_answer", "$defs": schema("protocol")["$defs"]})
        except jsonschema.ValidationError as problem:
            self._stop()
            raise SessionError(
                f"{' '.join(self.command)} answered hello with {cut(line, _SHOWN)!r}: {cut(problem.message)}"
            ) from problem
        wrong = fault(hello)
        if wrong:
            self._stop()
            raise SessionError(f"{cut(hello['name'], 200) or ' '.join(self.command)}: {wrong}")
        return dict(hello)

    def _exchange(self, message: dict[str, Any], time_limit: float | None = None) -> str | Answer:
        """Send one line and return the line that comes back, or what went wrong.

        Both ends are watched at once: who answers without reading, or does neither, keeps nobody waiting for longer.
        """
        process, limit = self._process, time_limit or self.time_limit
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        left, deadline = memoryview(json.dumps(message).encode() + b"\n"), time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            seen = 0
            while left or self._buffer.find(b"\n", seen) < 0:
                seen = 0 if left else len(self._buffer)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return self._dead(f"{HUNG} {limit:g} s")
                ready = {key.fileobj for key, _ in selector.select(min(remaining, _GLANCE))}
                if not ready and process.poll() is not None:  # what it has started may hold its output open
                    return self._dead("crashed")
                if process.stdin in ready:
                    try:
                        left = left[os.write(process.stdin.fileno(), left) :]
                    except OSError:  # it reads no more: what it said before that may say why
                        left = left[:0]
                    if not left:
                        selector.unregister(process.stdin)
                if process.stdout in ready:
                    piece = os.read(process.stdout.fileno(), 1 << 20)
                    if not piece:
                        return self._dead("crashed")
                    self._buffer += piece
                    if len(self._buffer) > _LONGEST_LINE:
                        return self._dead("answered garbage: a line without an end")
        end = self._buffer.index(b"\n")
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 1]
        return line

    def _dead(self, how: str) -> Answer:
        """Stop what went wrong, and return it as an answer, with the last words that were said."""
        code = None
        if self._process is not None and how == "crashed":
            try:
                code = self._process.wait(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                how = "closed its output"
        self._stop()
        self._reader.join(timeout=1)  # it has the last words of the process then
        words = cut(" | ".join(line for line in list(self._tail)[-6:] if line))
        return Answer(
            failure=how + (f" (exit status {code})" if code is not None else "") + (f": {words}" if words else "")
        )

    def _stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # no process of the group is left
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        self._process = self._guard = None


def _drain(stream: Any, tail: deque[str]) -> None:
    """Read standard error to its end and keep its last lines, so that a flood neither blocks nor fills anything."""
    with stream:
        for line in iter(lambda: stream.readline(4096), b""):
            tail.append(line.decode("utf-8", "replace").rstrip())


def worker_command(
    target: str, framework: str, device: str, losses: Sequence[str] = (), claims: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs a Python implementation, of these losses or of all it has, in a worker."""
    command = [sys.executable, "-m", "lossproof.conformance.host.worker", target, "--framework", framework]
    return [*command, "--device", device, *(part for loss in losses for part in ("--loss", loss)), *claims]
