"""`inference-async faults`: the catalogue of what a server can be made to do wrong."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table

from ..emulator import FAULTS
from ..emulator.behaviour import GROUPS

__all__ = ["faults"]


def faults() -> int:
    """Print every fault, by groups: a table on a terminal; elsewhere a line for each, as name, group and summary."""
    console = Console(highlight=False, markup=False)
    width = max(map(len, FAULTS))
    if not console.is_terminal:
        for fault in FAULTS.values():
            console.print(f"{fault.name:{width}}  {fault.group:12}{fault.summary}", soft_wrap=True)
        return 0
    for group, members in groupby(FAULTS.values(), key=lambda fault: fault.group):
        console.print(GROUPS[group], style="bold")
        table = Table.grid(padding=(0, 2))
        table.add_column(width=width + 2, no_wrap=True)
        table.add_column(overflow="fold")
        for fault in members:
            table.add_row(f"  {fault.name}", fault.summary)
        console.print(table)
        console.print()
    console.print(
        "Names joined by + are several at once: inference-async serve --fault gzip+cut-in-chunk", soft_wrap=True
    )
    return 0
