"""What the emulator refuses, and in which words: the checks that a request goes through, dialect by dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..types import ChatOptions
from ..types.base import is_array, is_object
from ..types.chat import MODELS_OPTIONS
from ..types.messages import ROLES
from ..wire.endpoints import Dialect
from .script import Model, Script

__all__ = ["Refusal", "check_api_version", "check_body", "check_key"]

API_VERSIONS: Final = ("2024-05-01-preview",)
_KNOWN: Final = MODELS_OPTIONS | {"messages", "stream"}
_KNOWN_V1: Final = (
    _KNOWN | ChatOptions.__annotations__.keys() | {"function_call", "functions", "moderation", "prompt_cache_options"}
)


class Refusal(Exception):  # noqa: N818  (not a fault of this program: an answer)
    """An answer that is an error: a status and a body, as the service words it."""

    def __init__(self, status: int, body: Any, *, code: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.code = code


def check_key(dialect: Dialect, headers: Mapping[str, str], key: str | None) -> None:
    """401, as the service words it, unless the key comes in ``api-key`` or as a bearer.

    Raises:
        Refusal: see above.
    """
    if key is None:
        return
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if headers.get("api-key") == key or (scheme.lower() == "bearer" and token == key):
        return
    if "api-key" in headers or dialect == "openai-v1":
        raise Refusal(
            401,
            {
                "error": {
                    "code": "401",
                    "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
                    "provide a valid key for an active subscription and use a correct regional API endpoint for your "
                    "resource.",
                }
            },
        )
    raise Refusal(
        401,
        {
            "statusCode": 401,
            "message": "Unauthorized. Access token is missing, invalid, audience is incorrect "
            "(https://cognitiveservices.azure.com), or have expired.",
        },
    )


def check_api_version(dialect: Dialect, version: str | None) -> None:
    """`/models` needs a version it knows; `/openai/v1` takes none, ``v1`` or ``preview``.

    Raises:
        Refusal: 400 otherwise.
    """
    if dialect == "models" and version is None:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal(400, {"error": {"code": "MissingApiVersionParameter", "message": text}})
    allowed = API_VERSIONS if dialect == "models" else (None, "v1", "preview")
    if version not in allowed:
        raise Refusal(400, {"error": {"code": "BadRequest", "message": "API version not supported"}})


def check_body(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body as the model gets it: unknown fields refused, dropped or passed on, as the header says.

    Raises:
        Refusal: 400 for what is no request, 422 for what the model does not support.
    """
    if not is_object(given):
        raise _invalid("We could not parse the JSON body of your request.")
    body: dict[str, Any] = given
    known = _KNOWN if dialect == "models" else _KNOWN_V1
    unknown = [name for name in body if name not in known]
    if unknown and dialect == "openai-v1":
        raise _invalid(f"Unrecognized request argument supplied: {unknown[0]}")
    if unknown and mode == "drop":
        body = {name: value for name, value in body.items() if name in known}
    elif unknown and mode != "pass-through":
        raise Refusal(
            400,
            {
                "detail": f"Extra parameters {unknown!r} are not allowed when extra-parameters is not set or set to be "
                "'error'. Set extra-parameters to 'pass-through' to pass to the model."
            },
        )
    if not body.get("model"):
        raise Refusal(
            400, {"error": {"code": "no_model_name", "message": "No model specified in request.", "details": ""}}
        )
    _check_messages(body.get("messages"))
    for name, kind in _KINDS.items():
        value = body.get(name)
        if value is not None and not kind.fits(value):
            raise _mistyped(dialect, name, kind.words, value)
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
    return body


class _Kind(NamedTuple):
    words: str
    fits: Callable[[Any], bool]


def _is_number(low: float, high: float) -> _Kind:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return _Kind(f"a number from {low:g} to {high:g}", fits)


def _is_count(low: int) -> _Kind:
    def fits(value: Any) -> bool:
        return _is_integer(value) and value >= low

    return _Kind(f"an integer, {low} or more", fits)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
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


_KINDS: Final[Mapping[str, _Kind]] = {
    "model": _Kind("text", _is_text),
    "temperature": _is_number(0, 2),
    "top_p": _is_number(0, 1),
    "frequency_penalty": _is_number(-2, 2),
    "presence_penalty": _is_number(-2, 2),
    "max_tokens": _is_count(0),
    "max_completion_tokens": _is_count(1),
    "seed": _Kind("an integer", _is_integer),
    "stop": _Kind("text, or a list of texts", _is_stop),
    "tools": _Kind('a list of {"type": "function", "function": {"name": ...}}', _is_tools),
    "tool_choice": _Kind("'auto', 'none', 'required', or an object", _is_choice),
    "response_format": _Kind("an object of type text, json_object or json_schema", _is_format),
    "stream": _Kind("true or false", _is_bool),
}


def _mistyped(dialect: Dialect, name: str, expected: str, value: Any) -> Refusal:
    """A value of the wrong kind: 422 with its place on `/models`, 400 with its name on `/openai/v1`."""
    if dialect == "models":
        detail = {"loc": ["body", name], "input": value, "msg": f"Input should be {expected}"}
        text = "One of the parameters contain invalid values."
        return Refusal(422, {"status": 422, "code": "Invalid input", "detail": detail, "message": text})
    return _invalid(f"Invalid type or value for '{name}': expected {expected}.", param=name)


def _is_content(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return is_array(value) and all(_is_part(part) for part in value)


def _is_part(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("type"), str) and isinstance(value.get("text", ""), str)


def _check_messages(messages: Any) -> None:
    if not is_array(messages) or not messages:
        raise _invalid("'messages' must be a list of at least one message.", param="messages")
    for index, message in enumerate(messages):
        role = message.get("role") if is_object(message) else None
        if role not in ROLES:
            raise _invalid(f"Invalid value: {role!r}. Supported values are: {ROLES}.", param=f"messages[{index}].role")
        if not _is_content(message.get("content")):
            raise _invalid("Invalid content: expected text or a list of parts.", param=f"messages[{index}].content")
        if role == "tool" and not message.get("tool_call_id"):
            raise _invalid("Missing parameter 'tool_call_id'.", param=f"messages[{index}].tool_call_id")


def _invalid(message: str, *, param: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return Refusal(400, {"error": error})
