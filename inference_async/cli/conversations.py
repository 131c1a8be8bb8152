"""Conversations as files: the messages as they go over the wire, the model's name, and what it cost so far.

Nothing of a client is in them: neither an address nor a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from ..errors import ConfigurationError
from ..net.files import read
from ..types import AssistantMessage, Message, SystemMessage, Usage
from ..types.base import is_array, is_object, plain
from ..types.messages import ROLES
from ..wire.codec import DecodeFailure, decode_json, lenient

__all__ = ["Conversation", "load", "role_of", "save"]

_MOST_BYTES: Final = 256 * 1024 * 1024  # images are part of it


class Conversation(msgspec.Struct):
    """What was said so far.

    Attributes:
        messages: the history, ready for the next request.
        model: the deployment's name; None for that of the environment.
        usage: the sum over all answers; None if none of them said.
    """

    messages: list[Message] = []
    model: str | None = None
    usage: Usage | None = None

    @property
    def system(self) -> str | None:
        """The instructions that stand above it."""
        if not self.messages or role_of(self.messages[0]) != "system":
            return None
        first = self.messages[0]
        content: object = first.content if isinstance(first, SystemMessage) else dict(cast("Any", first)).get("content")
        return content if isinstance(content, str) else "(in parts)"

    def instruct(self, text: str | None) -> None:
        """Put these instructions above it, in place of any others; None for none at all."""
        rest = self.messages[1:] if self.system is not None else self.messages
        self.messages = [*([SystemMessage(text)] if text else []), *rest]

    def add_usage(self, usage: Usage | None) -> None:
        """Count what a further answer cost."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage


def role_of(message: Message) -> str:
    """Who says it."""
    return str(message.__struct_config__.tag if isinstance(message, msgspec.Struct) else message.get("role"))


async def load(path: Path) -> Conversation:
    """Read a conversation from a file.

    Raises:
        ConfigurationError: the file cannot be read, or holds no conversation.
    """
    return await read(path, max_bytes=_MOST_BYTES, then=_understood)


async def save(conversation: Conversation, path: Path) -> None:
    """Write a conversation to a file, in a thread: all of it, or nothing. Nobody else on the machine may read it.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    whole = {"model": conversation.model, "messages": list(map(_sent, conversation.messages))}
    if conversation.usage is not None:
        whole["usage"] = plain(conversation.usage)
    data = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    try:
        await asyncio.to_thread(_write, path, data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"the file {str(path)!r} cannot be written: {reason}") from None


def _sent(message: Message) -> Any:
    if isinstance(message, AssistantMessage):  # whose content is sent even where it is null
        return {"role": "assistant", "content": message.content, **plain(message)}
    return plain(message)


def _write(path: Path, data: bytes) -> None:
    path = path.resolve()  # so that a link stays one
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _understood(data: bytes) -> Conversation:
    try:
        whole = decode_json(data)
    except DecodeFailure as error:
        raise ConfigurationError(f"got no JSON, expected a conversation that was saved: {error}") from None
    messages = whole.get("messages") if is_object(whole) else None
    if not is_object(whole) or not is_array(messages):
        raise ConfigurationError("got no conversation, expected an object with 'messages'")
    for index, message in enumerate(messages):
        if not is_object(message) or message.get("role") not in ROLES:
            raise ConfigurationError(f"got no message in messages[{index}], expected an object with a role")
    model = whole.get("model")
    if model is not None and not isinstance(model, str):
        raise ConfigurationError(f"got model of type {type(model).__name__}, expected text")
    usage = whole.get("usage")
    try:
        return Conversation(messages, model, None if usage is None else lenient(usage, Usage))
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"got a usage that is none: {error}") from None
