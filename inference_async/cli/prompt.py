"""The prompt of a session, on prompt_toolkit: keys, history, completion."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output, create_output

from .render import Note

__all__ = ["Reader", "history_file", "terminal_reader"]

Reader: TypeAlias = Callable[[], Awaitable[str]]
"""Reads a prompt; raises EOFError where there are no more."""

_WITH_FILE: Final = ("image", "load", "save")


def terminal_reader(
    commands: Iterable[str],
    *,
    history: bool,
    note: Note,
    input: Input | None = None,  # noqa: A002  (prompt_toolkit's own word)
    output: Output | None = None,
) -> Reader:
    """A reader of prompts from the terminal.

    Args:
        commands: what is completed after a slash.
        history: keep prompts in `history_file`, for this session and the next ones.
        note: told where that file cannot be written.
        input: in place of stdin.
        output: in place of stdout, or of stderr if only that is a terminal.
    """
    prompts: PromptSession[str] = PromptSession(
        "> ",
        multiline=True,
        prompt_continuation="  ",
        history=_history(note) if history else InMemoryHistory(),
        key_bindings=_keys(),
        completer=_Completer(commands),
        complete_while_typing=False,
        enable_history_search=False,
        input=input,
        output=output or create_output(always_prefer_tty=True),
    )
    return prompts.prompt_async


def history_file() -> Path:
    """Where prompts are kept: below ``$XDG_STATE_HOME`` (``%LOCALAPPDATA%`` on Windows), or else ``~/.local/state``."""
    named = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_STATE_HOME", "")
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return base / "inference-async" / "history"


def _history(note: Note) -> History:
    try:
        path = history_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))  # prompts are nobody else's business
    except (OSError, RuntimeError) as error:
        note(f"prompts are not kept: {str(error).lower()}", "yellow")
        return InMemoryHistory()
    return FileHistory(path)


def _keys() -> KeyBindings:
    keys = KeyBindings()
    at_the_prompt = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=at_the_prompt)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=at_the_prompt)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c", filter=at_the_prompt)
    @keys.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        event.app.current_buffer.reset()

    return keys


class _Completer(Completer):
    """Commands after a slash, and files after the commands that take one."""

    def __init__(self, commands: Iterable[str]) -> None:
        self._commands = list(commands)
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        command, blank, rest = text[1:].partition(" ")
        if blank and command in _WITH_FILE:
            rest = rest.lstrip()
            yield from self._files.get_completions(Document(rest, len(rest)), complete_event)
        elif not blank:
            for name in self._commands:
                if name.startswith(command):
                    yield Completion(name, start_position=-len(command))
