"""What the shell is told of options whose values are no files, and the script that has it ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from click.shell_completion import CompletionItem, get_completion_class

from ..wire.endpoints import Dialect

if TYPE_CHECKING:
    import click

__all__ = ["SHELLS", "dialects", "fault_names", "script"]

SHELLS = ("bash", "zsh", "fish")


def script(command: click.Command, shell: str) -> str:
    """The script that makes a shell complete `command`, for the shell to read when it starts."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (for the type checkers: click knows all of SHELLS)
    return found(command, {}, "inference-async", "_INFERENCE_ASYNC_COMPLETE").source()


def dialects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The dialects that begin so."""
    return [CompletionItem(name) for name in get_args(Dialect) if name.startswith(incomplete)]


def fault_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The faults that begin so; several are joined by a plus."""
    from ..emulator import FAULTS

    before, plus, begun = incomplete.rpartition("+")
    return [
        CompletionItem(f"{before}{plus}{name}", help=fault.summary)
        for name, fault in FAULTS.items()
        if name.startswith(begun)
    ]
