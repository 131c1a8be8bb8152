"""Whether the messages of a request are a conversation: roles, contents, and a result for each call."""

from __future__ import annotations

from typing import Any

from ..types.base import is_array, is_object
from ..types.messages import ROLES
from .media import check_media
from .refusals import Refusal, invalid

__all__ = ["check_messages"]


def check_messages(messages: Any) -> None:
    """The messages are some, each is one, and each call in them has its result.

    Raises:
        Refusal: 400.
    """
    if not is_array(messages) or not messages:
        raise invalid("'messages' must be a list of at least one message.", param="messages")
    for index, message in enumerate(messages):
        role = message.get("role") if is_object(message) else None
        if role not in ROLES:
            raise invalid(f"Invalid value: {role!r}. Supported values are: {ROLES}.", param=f"messages[{index}].role")
        if not _is_content(message.get("content")):
            raise invalid("Invalid content: expected text or a list of parts.", param=f"messages[{index}].content")
        if role == "tool" and not message.get("tool_call_id"):
            raise invalid("Missing parameter 'tool_call_id'.", param=f"messages[{index}].tool_call_id")
    check_media(messages)
    _check_results(messages)


def _is_content(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return is_array(value) and all(_is_part(part) for part in value)


def _is_part(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("type"), str) and isinstance(value.get("text", ""), str)


def _check_results(messages: list[Any]) -> None:
    """Behind a message with calls stand their results, one for each, before anything else is said."""
    waiting: dict[str, None] = {}
    asked_at = 0
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages[{index}].role",
                )
            del waiting[message["tool_call_id"]]
            continue
        if waiting:
            raise _unanswered(waiting, asked_at)
        if message["role"] == "assistant" and message.get("tool_calls") is not None:
            waiting, asked_at = dict.fromkeys(_call_ids(message["tool_calls"], index)), index
    if waiting:
        raise _unanswered(waiting, asked_at)


def _unanswered(waiting: dict[str, None], index: int) -> Refusal:
    return invalid(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        param=f"messages[{index}].role",
    )


def _call_ids(calls: Any, index: int) -> list[str]:
    where = f"messages[{index}].tool_calls"
    if not is_array(calls):
        raise invalid(f"Invalid type for '{where}': expected an array of objects.", param=where)
    if not calls:
        raise invalid(f"Invalid '{where}': empty array. Expected an array with minimum length 1.", param=where)
    for at, call in enumerate(calls):
        function = call.get("function") if is_object(call) else None
        if not is_object(function) or not all(
            isinstance(value, str) for value in (call.get("id"), function.get("name"), function.get("arguments"))
        ):
            raise invalid(
                f"Invalid '{where}[{at}]': expected an object with 'id', 'type', and 'function' with 'name' and "
                "'arguments' as text.",
                param=f"{where}[{at}]",
            )
    return [call["id"] for call in calls]
