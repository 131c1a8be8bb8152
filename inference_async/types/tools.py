"""Tools a model may call, and the calls it makes."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from .base import Open

__all__ = [
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "HasDefinition",
    "ToolCall",
    "ToolCallDelta",
    "ToolDefinition",
]


class FunctionDefinition(msgspec.Struct, omit_defaults=True, repr_omit_defaults=True):
    """A function a model may call.

    Attributes:
        name: 1 to 64 of ``A-Z a-z 0-9 _ -``.
        description: what it does and when to call it, for the model to read.
        parameters: a JSON Schema of type object; left out, the function takes no argument.
        strict: ask that arguments follow the schema exactly; not every model knows it.
    """

    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class ToolDefinition(msgspec.Struct, tag_field="type", tag="function"):
    """A tool, as the request offers it; functions are the only kind the service knows."""

    function: FunctionDefinition


class HasDefinition(Protocol):
    """What stands for its definition where tools are offered, such as a function under ``@tool``."""

    @property
    def definition(self) -> ToolDefinition:
        """What the request offers."""
        ...


class FunctionCall(Open, omit_defaults=False):
    """The function a model wants called.

    Attributes:
        name: as defined in the request; check it, models invent names.
        arguments: JSON text as the model wrote it: possibly empty, possibly not valid JSON.
        call_id: sent as null by some models; kept so that the call goes back as it came.
    """

    name: str = ""
    arguments: str = ""
    call_id: str | UnsetType | None = UNSET


class ToolCall(Open, omit_defaults=False):
    """One call of a tool. Answer it with a ``ToolMessage`` that carries its ``id``."""

    id: str = ""
    type: str = "function"
    function: FunctionCall = msgspec.field(default_factory=FunctionCall)


class FunctionCallDelta(Open):
    """A piece of a `FunctionCall`; ``arguments`` is a piece of JSON text, or a whole value where servers send one."""

    name: str | None = None
    arguments: str | dict[str, Any] | list[Any] | None = None
    call_id: str | UnsetType | None = UNSET


class ToolCallDelta(Open):
    """A piece of a `ToolCall`, as sent: every field may be missing, and ``index`` may be wrong."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None
