"""The script: which request gets which answer, token by token.

A script is a JSON file of this shape; everything but ``rules`` may be left out::

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

The first rule whose ``match`` fits answers, as it is written, and be it nonsense: broken JSON where the request has a
schema, say, to see what a program does with that. ``"fitting": true`` at the top passes over rules whose answer the
request rules out; the script that ships with the package says so. No rule, no problem: see `improvised`.

A model whose name begins with ``no-such`` is not there, whatever the script says: the request gets the 404 that the
service answers to a wrong deployment name.
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
    """What a request must have for its rule to answer; what is left out matches anything.

    Attributes:
        role: the role of the last message.
        content: its whole text.
        contains: a piece of its text.
        response_format: the type asked for, such as ``json_object``.
        tool: the name of a tool that is offered.
        model: the model asked for.
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
        content: the text; null beside tool calls if need be.
        tokens: the same text cut by hand; else it is cut at words and marks.
        tool_calls: the calls the model asks for.
        call_tools: calls made up from the request, in place of `tool_calls`, with arguments that satisfy each tool's
            schema: ``offered`` calls each tool offered once, a list calls those it names, offered or not. Where the
            last message is a tool's result, the results are said back instead, so that the turn ends.
        finish_reason: ``stop``, or ``tool_calls`` if there are some, unless said otherwise.
        usage: what it costs; counted from the tokens if left out.
        refused: content safety refuses the prompt, for these categories.
        filtered: content safety cuts the answer after so many tokens.
        late_filter: content safety looks at a stream after it was sent, as the asynchronous filter does: what it finds
            comes in chunks of its own, and if it cuts the answer, what comes after the cut has been sent already.
        annotate: content safety says what it saw in the prompt and in the answer, although nothing was amiss. Like
            `late_filter`, it means nothing to endpoints that are not Azure's.
        reasoning: what the model thinks before it answers.
        reasoning_as: where it says so: in a field of that name, in ``<think>`` tags before the content, or in content
            that is a list of parts.
        pace: how fast it streams, in place of the script's own.
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
    """One row of a script."""

    answer: Answer
    match: Match = msgspec.field(default_factory=Match)
    name: str = ""


class Model(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is special about a model.

    Attributes:
        unsupported: parameters that get a 422, as ``name``, or ``name=value`` for one value of it.
        max_tokens: what a request that names no limit is counted as generating, where a rate limit is set.
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
        fitting: a rule answers only if its answer is one to the request: JSON of the schema where there is one, a
            call where one must be made, none where none may be. An answer that content safety refuses or cuts is one
            to any request. Without it, what a rule says is said.
        models: what is special about models, by their names.
        pace: how fast all answers stream that say nothing else.
        annotate: all answers are annotated; see `Answer`.
        info: the model where an endpoint has only one.
        about: for whoever reads the script.
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
