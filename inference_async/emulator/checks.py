"""What the emulator refuses in a chat request: the checks that its body goes through, dialect by dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from ..types import ChatOptions
from ..types.base import is_array, is_object
from ..types.chat import MODELS_OPTIONS
from ..types.messages import ROLES
from ..wire.endpoints import Dialect
from .media import check_media
from .refusals import Refusal, invalid, like_models, mistyped
from .script import Model, Script

__all__ = ["Kind", "check_body", "check_fields", "check_kinds", "check_model", "check_supported", "count", "is_text"]

_KNOWN: Final = MODELS_OPTIONS | {"messages", "stream"}
_KNOWN_V1: Final = (
    _KNOWN | ChatOptions.__annotations__.keys() | {"function_call", "functions", "moderation", "prompt_cache_options"}
)


def check_body(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body as the model gets it: unknown fields refused, dropped or passed on, as the header says.

    Raises:
        Refusal: 400 for what is no request, 422 for what the model does not support.
    """
    known = _KNOWN if like_models(dialect) else _KNOWN_V1
    body = check_fields(dialect, given, mode, known)
    check_model(body)
    _check_messages(body.get("messages"))
    check_kinds(dialect, body, _KINDS)
    check_supported(body, script)
    _check_named(body)
    return body


def check_fields(dialect: Dialect, given: Any, mode: str | None, known: AbstractSet[str]) -> dict[str, Any]:
    """An object, whose unknown fields are refused, dropped or passed on.

    Raises:
        Refusal: 400.
    """
    if not is_object(given):
        raise invalid("We could not parse the JSON body of your request.")
    body: dict[str, Any] = given
    unknown = [name for name in body if name not in known]
    if not unknown or dialect == "generic":
        return body
    if not like_models(dialect):
        raise invalid(f"Unrecognized request argument supplied: {unknown[0]}")
    if mode == "drop":
        return {name: value for name, value in body.items() if name in known}
    if mode != "pass-through":
        raise Refusal(
            400,
            {
                "detail": f"Extra parameters {unknown!r} are not allowed when extra-parameters is not set or set to be "
                "'error'. Set extra-parameters to 'pass-through' to pass to the model."
            },
        )
    return body


def check_model(body: Mapping[str, Any]) -> None:
    """A model is named.

    Raises:
        Refusal: 400.
    """
    if not body.get("model"):
        raise Refusal(
            400, {"error": {"code": "no_model_name", "message": "No model specified in request.", "details": ""}}
        )


def check_supported(body: Mapping[str, Any], script: Script) -> None:
    """The script's model supports what is asked of it.

    Raises:
        Refusal: 422.
    """
    for row in script.models.get(body["model"], Model()).unsupported:
        name, _, only = row.partition("=")
        got = body.get(name)
        unsupported = got.get("type") if is_object(got) else got
        if got is not None and only in ("", unsupported):
            raise Refusal(
                422,
                {
                    "status": 422,
                    "code": "parameter_not_supported",
                    "detail": {"loc": ["body", name], "input": unsupported},
                    "message": "One of the parameters contain invalid values.",
                },
            )


def check_kinds(dialect: Dialect, body: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """What is there has the kind it should have.

    Raises:
        Refusal: 422 or 400, as the dialect has it.
    """
    for name, kind in kinds.items():
        value = body.get(name)
        if value is not None and not kind.fits(value):
            raise mistyped(dialect, name, kind.words, value)


class Kind(NamedTuple):
    """A kind of value, and how it is called."""

    words: str
    fits: Callable[[Any], bool]


def _is_number(low: float, high: float) -> Kind:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return Kind(f"a number from {low:g} to {high:g}", fits)


def count(low: int, high: int | None = None) -> Kind:
    """A whole number from `low`, to `high` if there is an end."""

    def fits(value: Any) -> bool:
        return _is_integer(value) and value >= low and (high is None or value <= high)

    return Kind(f"an integer, {low} or more" if high is None else f"an integer from {low} to {high}", fits)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def one_of(*texts: str) -> Kind:
    """One of some texts."""

    def fits(value: Any) -> bool:
        return value in texts

    return Kind(f"one of {', '.join(texts)}", fits)


def is_text(value: Any) -> bool:
    """Whether a JSON value is text."""
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (is_array(value) and all(isinstance(item, str) for item in value))


def _is_tools(value: Any) -> bool:
    return is_array(value) and len(value) > 0 and all(_is_tool(tool) for tool in value)


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if is_object(tool) else None
    return is_object(function) and tool.get("type") == "function" and isinstance(function.get("name"), str)


def _is_choice(value: Any) -> bool:
    return value in ("auto", "none", "required") if isinstance(value, str) else is_object(value) and "type" in value


def _is_format(value: Any) -> bool:
    if not is_object(value):
        return False
    kind = value.get("type")
    return kind in ("text", "json_object") or (kind == "json_schema" and is_object(value.get("json_schema")))


_KINDS: Final[Mapping[str, Kind]] = {
    "model": Kind("text", is_text),
    "temperature": _is_number(0, 2),
    "top_p": _is_number(0, 1),
    "frequency_penalty": _is_number(-2, 2),
    "presence_penalty": _is_number(-2, 2),
    "max_tokens": count(0),
    "max_completion_tokens": count(1),
    "n": count(1, 128),
    "top_logprobs": count(0, 20),
    "logprobs": Kind("true or false", _is_bool),
    "parallel_tool_calls": Kind("true or false", _is_bool),
    "seed": Kind("an integer", _is_integer),
    "stop": Kind("text, or a list of texts", _is_stop),
    "tools": Kind('a list of {"type": "function", "function": {"name": ...}}', _is_tools),
    "tool_choice": Kind("'auto', 'none', 'required', or an object", _is_choice),
    "response_format": Kind("an object of type text, json_object or json_schema", _is_format),
    "stream": Kind("true or false", _is_bool),
}


def _is_content(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return is_array(value) and all(_is_part(part) for part in value)


def _is_part(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("type"), str) and isinstance(value.get("text", ""), str)


def _check_messages(messages: Any) -> None:
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


def _check_named(body: Mapping[str, Any]) -> None:
    """A function that must be called is one that is offered."""
    choice = body.get("tool_choice")
    function = choice.get("function") if is_object(choice) else None
    if not is_object(function):
        return
    tools: list[Any] = body.get("tools") or []
    if function.get("name") not in [tool["function"]["name"] for tool in tools]:
        raise invalid("Invalid value: 'tool_choice' names a function that is not in 'tools'.", param="tool_choice")
