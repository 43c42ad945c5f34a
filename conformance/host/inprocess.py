"""A session without a process: the worker's own code called directly. For the suite's broken implementations and tests.

Nothing is judged this way that could crash or hang.
"""

from __future__ import annotations

import json
from typing import Any

from lossproof.conformance.host.case import Answer, Case, read_answer
from lossproof.conformance.host.frameworks import Adapter
from lossproof.conformance.host.hello import fault
from lossproof.conformance.host.implementation import Implementation, TargetError
from lossproof.conformance.host.worker import adapter_for, answer_to, hello_of


class InProcess:
    """Answers cases with functions of this process; the same interface as `Session`."""

    def __init__(self, implementation: Implementation, framework: str, adapter: Adapter | None = None):
        self.implementation = implementation
        self.adapter = adapter or adapter_for(framework, "cpu")
        self.adapter.forget()
        self.hello: dict[str, Any] = json.loads(json.dumps(hello_of(self.adapter, implementation, framework)))
        wrong = fault(self.hello)
        if wrong:
            raise TargetError(wrong)
        self.crashes = 0

    def ask(self, case: Case) -> Answer:
        """Return the answer to one case."""
        message = json.loads(json.dumps(case.message(0)))
        try:
            return read_answer(answer_to(self.adapter, self.implementation, message))
        except ValueError as problem:
            return Answer(failure=f"answered garbage: {problem}")

    def close(self) -> None:
        """Do nothing: there is no process to end."""
