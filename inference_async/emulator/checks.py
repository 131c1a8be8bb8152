"""What the emulator refuses in a chat request: the checks that its body goes through, dialect by dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from ..types import ChatOptions
from ..types.base import is_array, is_object
from ..types.chat import MODELS_OPTIONS
from ..wire.endpoints import Dialect
from .choices import check_choice
from .formats import check_format, check_functions
from .history import check_messages
from .refusals import Refusal, invalid, like_models, mistyped, no_model
from .script import Model, Script

__all__ = [
    "MISSING",
    "Kind",
    "check_body",
    "check_fields",
    "check_kinds",
    "check_supported",
    "count",
    "is_text",
    "one_of",
]

MISSING: Final = "no-such"
"""A model whose name begins so is not there: the request gets the 404 of a wrong deployment name."""

_KNOWN: Final = MODELS_OPTIONS | {"messages", "stream"}
_KNOWN_V1: Final = (
    _KNOWN | ChatOptions.__annotations__.keys() | {"function_call", "functions", "moderation", "prompt_cache_options"}
)


def check_body(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body as the model gets it: unknown fields refused, dropped or passed on, as the header says.

    Raises:
        Refusal: 400 for what is no request, 404 for a model that is not there, 422 for what a model does not support.
    """
    known = _KNOWN if like_models(dialect) else _KNOWN_V1
    body = check_fields(dialect, given, mode, known)
    check_messages(body.get("messages"))
    check_kinds(dialect, body, _KINDS)
    check_supported(body, script)
    _check_beside(body)
    check_format(body)
    check_functions(body)
    check_choice(body)
    return body


def check_fields(dialect: Dialect, given: Any, mode: str | None, known: AbstractSet[str]) -> dict[str, Any]:
    """An object that names a model, and whose unknown fields are refused, dropped or passed on.

    Raises:
        Refusal: 400, or 404 for a model that is not there.
    """
    if not is_object(given):
        raise invalid("We could not parse the JSON body of your request.")
    body: dict[str, Any] = given
    _check_model(dialect, body)
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


def _check_model(dialect: Dialect, body: Mapping[str, Any]) -> None:
    name = body.get("model")
    if not name:
        raise Refusal(
            400, {"error": {"code": "no_model_name", "message": "No model specified in request.", "details": ""}}
        )
    if isinstance(name, str) and name.startswith(MISSING):
        raise no_model(dialect, name)


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
    "stream_options": Kind('an object such as {"include_usage": true}', is_object),
}


def _check_beside(body: Mapping[str, Any]) -> None:
    """Options that only mean something beside another stand beside it."""
    for name, other in (("top_logprobs", "logprobs"), ("stream_options", "stream")):
        if body.get(name) is not None and not body.get(other):
            raise invalid(f"The '{name}' parameter is only allowed when '{other}' is enabled.", param=name)
