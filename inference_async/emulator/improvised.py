"""What is said when no rule fits: the least that the request asks for, and always the same.

After a tool's result, the results are said back. Where the request demands a call, it is made. Where it has a schema,
the answer is an instance of it. Everything else is answered with the last user message, pictures and sounds described.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..types import ToolCall
from ..types.base import is_array, is_object
from ..types.messages import text_of
from ..types.tools import FunctionCall
from .choices import callables_in
from .effort import Effort
from .instances import instance_of
from .media import media_in
from .refusals import invalid

__all__ = ["Improvised", "calls_for", "improvised"]


class Improvised(NamedTuple):
    """An answer made up: text, or calls."""

    content: str
    tool_calls: list[ToolCall]


def improvised(body: Mapping[str, Any]) -> Improvised:
    """An answer to a checked body.

    Raises:
        Refusal: nothing fits the schema in it.
    """
    results = _results(body["messages"])
    schemas, must = callables_in(body)
    if must and not results:
        return Improvised("", calls_for(body, list(schemas)[:1]))
    asked = body.get("response_format")
    kind = asked.get("type") if is_object(asked) else None
    if is_object(asked) and kind == "json_schema" and "schema" in asked["json_schema"]:
        return Improvised(_instance(asked["json_schema"]["schema"], "response_format", Effort()), [])
    text = results or _said(body["messages"])
    wants_json = kind in ("json_object", "json_schema")
    return Improvised(json.dumps({"echo": text}, ensure_ascii=False) if wants_json else text, [])


def calls_for(body: Mapping[str, Any], names: str | list[str]) -> list[ToolCall]:
    """Calls of the tools named, or of each tool offered that may be called, with arguments that satisfy their schemas.

    Only one where the request wants no parallel calls, none where it wants no calls at all.

    Raises:
        Refusal: nothing fits the schema of a tool.
    """
    if body.get("tool_choice") == "none":
        return []
    schemas, _ = callables_in(body)
    if isinstance(names, str):
        names = list(schemas)
    effort = Effort()
    calls = [_call(name, schemas.get(name), f"{len(body['messages'])}/{at}", effort) for at, name in enumerate(names)]
    return calls[:1] if body.get("parallel_tool_calls") is False else calls


def _call(name: str, parameters: Any, place: str, effort: Effort) -> ToolCall:
    arguments = _instance(parameters, f"tools.{name}", effort) if parameters else "{}"
    number = hashlib.sha256(f"{place}/{name}/{arguments}".encode()).hexdigest()[:24]
    return ToolCall(id=f"call_{number}", function=FunctionCall(name=name, arguments=arguments))


def _instance(schema: Any, where: str, effort: Effort) -> str:
    try:
        return json.dumps(instance_of(schema, effort=effort), ensure_ascii=False)
    except ValueError as error:
        raise invalid(f"Invalid schema for '{where}': {error}.", param=where) from None


def _results(messages: list[Any]) -> str:
    """What the tools said since the model spoke last, a line each."""
    last = list(itertools.takewhile(lambda message: message.get("role") == "tool", reversed(messages)))
    calls = [call for message in messages for call in _array(message.get("tool_calls")) if is_object(call)]
    names = {str(call.get("id")): call["function"].get("name") for call in calls if is_object(call.get("function"))}
    return "\n".join(
        f"{names.get(str(message['tool_call_id'])) or 'tool'}: {text_of(message.get('content'))}"
        for message in reversed(last)
    )


def _array(value: Any) -> list[Any]:
    return value if is_array(value) else []


def _said(messages: list[Any]) -> str:
    """The last user message, as text."""
    message = next((message for message in reversed(messages) if message.get("role") == "user"), None)
    if message is None:
        return ""
    return "\n".join(filter(None, [text_of(message.get("content")), *map(str, media_in(message))]))
