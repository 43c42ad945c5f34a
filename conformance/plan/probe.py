"""A probe: one question of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Probe:
    """One item of the plan: a check that asks about one clause."""

    loss: str
    check: str
    clause: str
    label: str = ""
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # choices of fields, where not neutral
    options: Mapping[str, Any] = field(default_factory=dict)  # what else the check needs to know
    effort: float = 1.0  # share of the usual number of structures

    @property
    def name(self) -> str:
        """Return the name under which the probe is reported: loss/check/clause[label]."""
        return f"{self.loss}/{self.check}/{self.clause}" + (f"[{self.label}]" if self.label else "")
