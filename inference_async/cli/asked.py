"""What `inference-async chat` is asked for, and who makes its turns."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ..client import InferenceClient
from ..policy.timeouts import Timeouts
from ..tools import Tool
from ..types import ImagePart, TextPart, UserMessage
from .conversations import Conversation
from .render import Display, Lines, Note, Plain
from .turn import Turn

__all__ = ["Asked", "Asker", "question_of"]


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What the command line asks for.

    Attributes:
        prompt: the question; None for a session.
        system: the instructions above it.
        model: the deployment's name.
        endpoint: the endpoint, in place of the environment's.
        timeouts: in place of the client's.
        options: of the request, as the client takes them.
        json_schema: a file with the schema of the answer.
        images: files that go with the first question.
        tools: what the model may call.
        usage: say in full what an answer cost.
        raw: show the events of the stream as lines of JSON.
        save: the file that the conversation is written to after each answer.
        load: the file that it goes on from.
        history: keep the prompts of a session for the next one.
    """

    prompt: str | None
    system: str | None = None
    model: str | None = None
    endpoint: str | None = None
    timeouts: Timeouts | None = None
    options: dict[str, Any] = {}
    json_schema: Path | None = None
    images: tuple[Path, ...] = ()
    tools: list[Tool[..., Any]] = []
    usage: bool = False
    raw: bool = False
    save: Path | None = None
    load: Path | None = None
    history: bool = True


class Asker:
    """Makes the turns of a conversation, all in one manner.

    Attributes:
        client: who is asked.
        note: says what is to be said beside the answers.
    """

    def __init__(self, client: InferenceClient, asked: Asked, options: dict[str, Any], note: Note) -> None:
        self.client = client
        self.note = note
        self._tools = asked.tools
        self._options = options
        self._raw = asked.raw
        is_text = "response_format" not in options
        self._display = functools.partial(_display_of, raw=asked.raw, markdown=is_text)

    def turn(self, conversation: Conversation) -> Turn:
        """The turn that answers the last message."""
        client = self.client.with_options(model=conversation.model) if conversation.model else self.client
        return Turn(
            client,
            conversation.messages,
            tools=self._tools,
            options=self._options,
            display=self._display,
            note=self.note,
            raw=self._raw,
        )


def question_of(text: str, images: Sequence[ImagePart]) -> UserMessage:
    """What the user says, with the images that go with it."""
    return UserMessage([TextPart(text), *images] if images else text)


def _display_of(*, raw: bool, markdown: bool) -> Display:
    """The display for the next answer: Markdown is drawn where stdout is a terminal that can move its cursor."""
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="replace")
    if raw:
        return Lines()
    console = Console(highlight=False, markup=False)
    if not markdown or not console.is_terminal or console.is_dumb_terminal:
        return Plain()
    from .growing import Growing  # and with it all of rich that knows Markdown

    return Growing(console)
