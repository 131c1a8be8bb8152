"""`inference-async conformance`: what a server does differently, as a table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from ..policy.timeouts import Timeouts
from ..testing import Finding, check_conformance
from ..testing.conformance import Verdict
from .doctor import Asked, arguments_of, understood

__all__ = ["conformance"]

_SECONDS: Final = 60.0
_STYLES: Final[dict[Verdict, str]] = {"same": "green", "differs": "yellow", "breaks": "bold red", "unasked": "dim"}


async def conformance(asked: Asked, *, as_json: bool = False) -> int:
    """Print what came of each check. Return 0, or 1 if one of them would break this client.

    Raises:
        ConfigurationError: there is no endpoint, or none that can be understood.
        InferenceError: the server cannot be talked to.
    """
    endpoint, settings, _ = understood(asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `inference-async doctor` says what there is to warn of
        findings = await check_conformance(**arguments_of(asked), timeouts=Timeouts(total=_SECONDS))
    if as_json:
        rows = [{"name": each.name, "verdict": each.verdict, "detail": each.detail} for each in findings]
        model = asked.model or settings.model
        report = {"endpoint": endpoint.base, "dialect": endpoint.dialect, "model": model, "checks": rows}
        Console(highlight=False, markup=False).print(json.dumps(report, indent=2), soft_wrap=True)
    else:
        _print_findings(findings, Console(highlight=False, markup=False))
    return 1 if any(each.verdict == "breaks" for each in findings) else 0


def _print_findings(findings: Sequence[Finding], console: Console) -> None:
    """A table on a terminal; elsewhere a line for each."""
    if console.is_terminal:
        table = Table("check", "the server", box=None, padding=(0, 2, 0, 0))
        table.columns[0].no_wrap = True
        table.columns[1].overflow = "fold"
        for each in findings:
            table.add_row(each.name, f"{each}", style=_STYLES[each.verdict])
        console.print(table)
    else:
        width = max(len(each.name) for each in findings)
        for each in findings:
            console.print(f"{each.name:{width}}  {each}", soft_wrap=True)
    same = sum(each.verdict == "same" for each in findings)
    console.print(f"{same} of {len(findings)} as Azure does", soft_wrap=True)
