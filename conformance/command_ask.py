"""`lossproof ask`: one case, all implementations that are named, in one table."""

from __future__ import annotations

from typing import Any

import click

from lossproof.conformance.command_endings import end
from lossproof.conformance.command_options import DEVICE, TIME_LIMIT, claimed, console_of
from lossproof.conformance.command_targets import COMMANDS, FRAMEWORKS_OF_TARGETS, opened
from lossproof.conformance.plan.plan import losses_known
from lossproof.conformance.side_by_side.ask import NOTHING, WRONG, page_row, row
from lossproof.conformance.side_by_side.case_file import CaseError, read_case
from lossproof.conformance.side_by_side.tables import show_answers, show_case


@click.command("ask")
@click.argument("case", metavar="CASE.json")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@FRAMEWORKS_OF_TARGETS
@COMMANDS
@claimed
@DEVICE
@TIME_LIMIT
def ask_command(case: str, targets: tuple[str, ...], commands: tuple[str, ...], **options: Any) -> None:
    """Ask one case of each TARGET and show the answers in one table.

    CASE.json holds a case of the protocol or one of the frozen vectors, and may be the id of a vector (TM-v3). A
    TARGET is one of `lossproof certify`. What a claim says holds for each that is none of our own; with a letter
    before it for one alone, B.eps=0 for the second.

    Exit status 0: each answer is within its budget, or the spec leaves it open. 1: one is not, or an implementation
    errored. 2: nothing was asked, or nobody offers the case.
    """
    try:
        asked = read_case(case)
    except CaseError as problem:
        end(str(problem))
    if not targets and not commands:
        end("name one or more targets, or a --command")
    console = console_of()
    with opened(targets, commands, names=(asked.loss,), **options) as sides:
        named = next((side for side in sides if side.given), None)
        if named:
            end(f"{named.title}: the options of a call come from the case")
        own = losses_known([asked.loss])[asked.loss]
        rows = [page_row(asked), *(row(side, asked, own) for side in sides)]
    show_case(asked, console)
    show_answers(rows, console)
    said = {one.says for one in rows[1:]}
    raise SystemExit(1 if WRONG in said else 2 if said == {NOTHING} else 0)
