"""The script: which request gets which answer, token by token.

A script is a JSON file like this one; everything except ``rules`` is optional::

    {
      "about": "what it is for",
      "pace": {"first": 0.3, "token": 0.02},
      "models": {"old-model": {"unsupported": ["response_format"]}},
      "rules": [
        {
          "name": "weather",
          "match": {"role": "user", "contains": "weather", "response_format": "json_object"},
          "answer": {"content": "Rain.", "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}
        }
      ]
    }

The first rule whose ``match`` fits gives the answer, exactly as it is written, even if that is nonsense: broken JSON
for a request with a schema, say, to see what a program does with it. With ``"fitting": true`` at the top, as in the
built-in script, a rule is skipped if the request does not allow its answer. If no rule fits, the answer is an instance
of the schema, a call of the tool that must be called, or an echo of the last user message.

A model whose name begins with ``no-such`` does not exist, whatever the script says: the request gets the 404 that the
service gives for a wrong deployment name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from ..errors import ConfigurationError
from ..types import ToolCall, Usage
from ..types.base import is_object
from ..types.messages import text_of
from .choices import callables_in
from .effort import Effort, SpentError
from .improvised import calls_for, improvised
from .schemas import fits

__all__ = ["Answer", "Match", "Model", "ModelInfo", "Pace", "Rule", "Script", "tokens_of"]

_TOKEN: Final = re.compile(r"\s*(?:\w{1,6}|[^\w\s]+)|\s+")


class Match(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The conditions of a rule. All of them must hold; one that is left out always does.

    Attributes:
        role: the role of the last message.
        content: its whole text.
        contains: a part of its text.
        response_format: the type of the response format, such as ``json_object``.
        tool: the name of a tool that the request offers.
        model: the model that the request names.
    """

    role: str | None = None
    content: str | None = None
    contains: str | None = None
    response_format: str | None = None
    tool: str | None = None
    model: str | None = None

    def fits(self, body: Mapping[str, Any]) -> bool:
        """Whether a request body fits."""
        last = body["messages"][-1]
        text = text_of(last.get("content"))
        asked = _field(body.get("response_format"), "type")
        offered: list[Any] = body.get("tools") or []
        tools = [_field(_field(tool, "function"), "name") for tool in offered]
        return (
            (self.role is None or self.role == last.get("role"))
            and (self.content is None or self.content == text)
            and (self.contains is None or self.contains in text)
            and (self.response_format is None or self.response_format == asked)
            and (self.tool is None or self.tool in tools)
            and (self.model is None or self.model == body.get("model"))
        )


class Pace(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Seconds before the first token, and between tokens."""

    first: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    token: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Answer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a rule answers.

    Attributes:
        content: the text; may be null beside tool calls.
        tokens: the same text, cut into tokens by hand; otherwise it is cut at words and punctuation.
        tool_calls: the calls that the model makes.
        call_tools: instead of `tool_calls`, calls whose arguments satisfy the schema of each tool: ``offered`` calls
            every offered tool once, a list calls the tools it names, offered or not. If the last message is the result
            of a tool, the results are echoed instead, so that the turn ends.
        finish_reason: defaults to ``tool_calls`` if there are some, and to ``stop`` otherwise.
        usage: defaults to a count of the tokens.
        refused: content safety refuses the prompt, for these categories.
        filtered: content safety cuts the answer after this many tokens.
        late_filter: content safety checks a stream after it was sent, as the asynchronous filter does. Its findings
            come in chunks of their own, and if it cuts the answer, the text after the cut has been sent already.
        annotate: content safety reports on the prompt and the answer, although it found nothing. Like `late_filter`, it
            has no effect on endpoints that are not Azure's.
        reasoning: the reasoning before the answer.
        reasoning_as: how it is sent: in a field of that name, in ``<think>`` tags before the content, or in content
            that is a list of parts.
        pace: how fast the answer streams, instead of the pace of the script.
    """

    content: str | None = ""
    tokens: list[str] | None = None
    tool_calls: list[ToolCall] = []
    call_tools: Literal["offered"] | list[str] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    refused: dict[str, Any] | None = None
    filtered: Annotated[int, msgspec.Meta(ge=0)] | None = None
    late_filter: bool = False
    annotate: bool = False
    reasoning: str = ""
    reasoning_as: Literal["reasoning_content", "reasoning", "think_tags", "parts"] = "reasoning_content"
    pace: Pace | None = None


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule of a script: an answer, and the requests that get it."""

    answer: Answer
    match: Match = msgspec.field(default_factory=Match)
    name: str = ""


class Model(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is special about a model.

    Attributes:
        unsupported: parameters that get a 422, as ``name``, or as ``name=value`` for one value only.
        max_tokens: how many tokens a rate limit counts for the answer to a request that names no limit.
    """

    unsupported: list[str] = []
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ModelInfo(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``/info`` says of the one model behind a serverless endpoint or managed compute."""

    model_name: str = "demo"
    model_type: str = "chat_completion"
    model_provider_name: str = "emulator"


class Script(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Rules, in the order they are tried.

    Attributes:
        fitting: skip a rule if the request does not allow its answer: if it is not JSON of the requested schema, if it
            has no call although one is required, or if it calls a tool that was not offered. Answers that content
            safety refuses or cuts are always allowed.
        models: what is special about models, by name.
        pace: how fast answers stream, unless they have a pace of their own.
        annotate: annotate all answers; see `Answer`.
        info: the model of an endpoint that has only one.
        about: a comment.
    """

    rules: list[Rule] = []
    fitting: bool = False
    models: dict[str, Model] = {}
    pace: Pace = msgspec.field(default_factory=Pace)
    annotate: bool = False
    info: ModelInfo = msgspec.field(default_factory=ModelInfo)
    about: str = ""

    @classmethod
    def shipped(cls) -> Script:
        """The script that comes with the package: the conversations of the service's documentation, in our words."""
        return _shipped()

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """A script from a JSON file.

        Raises:
            ConfigurationError: the file cannot be read, or is no script; the message names the place.
        """
        try:
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"the script {str(path)!r} cannot be read: {error.strerror or error}") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{str(path)!r}: {error}") from None

    @classmethod
    def from_json(cls, data: bytes) -> Script:
        """A script from JSON.

        Raises:
            ConfigurationError: it is no script; the message names the place.
        """
        try:
            return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"got no script: {error}; `python -m pydoc inference_async.emulator.script` shows what one looks like"
            ) from None

    def answer_to(self, body: Mapping[str, Any]) -> Answer:
        """The answer of the first rule that fits, else one made up; see `improvised`.

        Raises:
            Refusal: a schema in the request is none that anything fits.
        """
        for rule in self.rules:
            if rule.match.fits(body) and (not self.fitting or _answers(rule.answer, body)):
                return _with_calls(rule.answer, body)
        made = improvised(body)
        return Answer(content=made.content, tool_calls=made.tool_calls)


def _answers(answer: Answer, body: Mapping[str, Any]) -> bool:
    """Whether an answer is one that the request allows."""
    if answer.refused is not None or answer.filtered is not None or answer.call_tools is not None:
        return True
    schemas, must = callables_in(body)
    if answer.tool_calls:
        return all(call.function.name in schemas for call in answer.tool_calls)
    if must and body["messages"][-1].get("role") != "tool":
        return False
    kind = _field(body.get("response_format"), "type")
    if kind not in ("json_object", "json_schema"):
        return True
    try:
        value = json.loads(answer.content or "")
        schema = body["response_format"]["json_schema"]["schema"] if kind == "json_schema" else {"type": "object"}
        return fits(value, schema, schema, Effort())
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError, SpentError):
        return False  # no JSON, or no schema: the latter is refused when an answer is made up


def _with_calls(answer: Answer, body: Mapping[str, Any]) -> Answer:
    if answer.call_tools is None:
        return answer
    if body["messages"][-1].get("role") == "tool":
        return msgspec.structs.replace(answer, content=improvised(body).content)
    calls = calls_for(body, answer.call_tools)
    content = answer.content if calls or answer.content else improvised(body).content
    return msgspec.structs.replace(answer, content=content, tool_calls=calls)


def tokens_of(text: str) -> list[str]:
    """Text cut into pieces of about a token each: they join to the text again."""
    return _TOKEN.findall(text)


def _field(value: Any, name: str) -> Any:
    """A field of what should be an object, None if it is not."""
    return value.get(name) if is_object(value) else None


@cache
def _shipped() -> Script:
    return Script.from_json(resources.files("inference_async.emulator").joinpath("script.json").read_bytes())
