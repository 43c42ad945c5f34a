"""What plain calls have shown: where they are wrong, special ones say nothing of their own clauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Plain:
    """Which plain calls of a loss, or of another function, are right. Each set of calls is asked once."""

    _right: dict[tuple[str, str], bool] = field(default_factory=dict)

    def right(self, loss: str, calls: str, ask: Callable[[], bool]) -> bool:
        """Whether these calls are right; `ask` asks them, where nobody has."""
        if (loss, calls) not in self._right:
            self._right[loss, calls] = ask()
        return self._right[loss, calls]
