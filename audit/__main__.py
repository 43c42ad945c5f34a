"""`python -m audit NAME`, in a checkout: one command for each way in which the judge is judged."""

from __future__ import annotations

import importlib
import sys

TOOLS = {
    "kills": "judge every deliberately broken implementation; write measured/kills.json",
    "trace": "write measured/TRACE.md: clause, check, broken implementation, source row, worked example",
    "matrix": "write measured/KILLS.md: which clauses are named for each broken implementation",
    "new": "lay out a new loss from its page: skeletons, and every line that names it",
    "naming": "how often the first entry names the clause that a broken implementation breaks",
    "alarms": "judge a correct implementation on fresh cases, and count the alarms",
    "explore": "climb towards the worst errors of an implementation",
    "same": "whether two certificates say the same, after a change that is meant to change nothing",
    "vectors": "make the frozen vectors of the spec",
    "peers": "judge the public functions of other libraries; --table writes docs/peers.md",
    "migrating": "make the tables of docs/migrating.md from the dialects",
    "mutation": "which slips in the reference or in the judge nobody would notice",
}


def main() -> int:
    """Run one tool with the arguments that follow its name; say which there are where none is named."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in TOOLS:
        print("\n".join(["python -m audit NAME ...", *(f"  {name:9} {what}" for name, what in TOOLS.items())]))
        return 0 if name in ("-h", "--help") else 2
    sys.argv = [f"python -m audit {name}", *arguments]
    try:
        return int(importlib.import_module(f"audit.{name}").main() or 0)
    except KeyboardInterrupt:
        print("audit: interrupted", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
