"""A type as an answer: the response format that asks for it, and the decoder that believes the answer or says why not.

Models put things around their JSON even when told not to. White space, a byte order mark and a fence around the whole
are taken off; nothing else is forgiven, for what is guessed into shape is no longer what the model said.

An answer must be an object. A type that is none (a list, a number, a union) travels under the one property ``value``
and is taken out again; an answer without that property, which is the value itself, will do as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast, overload

import msgspec

from ..errors import ConfigurationError
from ..wire.codec import BoundError, check_json
from .hints import adapter_of, is_pydantic, name_of, read_by_pydantic
from .schema import answer_schema

if TYPE_CHECKING:
    import pydantic

__all__ = ["AnswerType", "Mismatch", "decoder_of"]

T = TypeVar("T")

_MAX_NAME: Final = 64
_MAX_WORDS: Final = 500  # an error may quote the answer, and an answer may be long
_JSON_NAMES: Final = {"dict": "object", "list": "array", "NoneType": "null"}

_FENCE: Final = re.compile(r"```(?:json\b)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)
_SYNTAX: Final = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)", re.DOTALL)
_PLACE: Final = re.compile(r"(.*) - at (`key` in )?`(\$[^`]*)`", re.DOTALL)
_EXPECTED: Final = re.compile(r"Expected (.*), got (.*)", re.DOTALL)
_LINE: Final = re.compile(r"invalid json: (.*) at line (\d+) column (\d+)", re.DOTALL | re.IGNORECASE)


class Mismatch(ValueError):  # noqa: N818  (it never reaches a user: the layers above turn it into an error of the tree)
    """A text is not JSON, or not of the type.

    Attributes:
        message: what was got and what was expected.
        position: the JSONPath of the value of the wrong type, such as ``$.cities[0].name``; or, for text that is no
            JSON, the offset of the character, such as ``char 17``.
    """

    def __init__(self, message: str, position: str) -> None:
        super().__init__(message, position)
        self.message = message if len(message) <= _MAX_WORDS else f"{message[:_MAX_WORDS]}..."
        self.position = position

    def __str__(self) -> str:
        return f"{self.message}, at {self.position}"


class _Decode(Protocol):
    def __call__(self, text: str, offset: int = 0, /) -> Any: ...


class AnswerType(Generic[T]):
    """A type that a model is asked to answer with. Made once per type: use `of`.

    Attributes:
        name: the type's name in the 64 characters the service allows, such as ``City`` or ``list_City``.
        format: the ``response_format`` as it goes out. It is shared: copy it before you change it.
        title: the type as people write it, such as ``list[City]``.
        within: the property under which a value that is no object travels; None for an object, which is the whole.
    """

    __slots__ = ("_decode", "_decode_bare", "format", "name", "title", "within")

    def __init__(self, hint: Any) -> None:
        schema, is_wrapped = answer_schema(hint)
        self.within = "value" if is_wrapped else None
        self._decode_bare = _decoder(hint)
        self._decode = _decoder(_wrapper(hint)) if is_wrapped else self._decode_bare
        self.title = name_of(hint)
        self.name = re.sub(r"[^A-Za-z0-9_-]+", "_", name_of(hint)).strip("_")[:_MAX_NAME] or "answer"
        # The description of the whole is said where the service has a place for it, and only there.
        said = {"description": schema.pop("description")} if "description" in schema else {}
        self.format: dict[str, Any] = {
            "type": "json_schema",
            "json_schema": {"name": self.name, **said, "schema": schema, "strict": True},
        }

    @overload
    @classmethod
    def of(cls, hint: type[T]) -> AnswerType[T]: ...

    @overload
    @classmethod
    def of(cls, hint: Any) -> AnswerType[Any]: ...

    @classmethod
    def of(cls, hint: Any) -> AnswerType[Any]:
        """The answer type of a hint: the one made before, where the hint can be a key.

        Raises:
            ConfigurationError: the hint has no strict schema; the message names the place, such as ``City.tags``.
        """
        try:
            hash(hint)
        except TypeError:  # such as Annotated with a dict in it
            return AnswerType(hint)
        return _cached(hint)

    def decode(self, text: str) -> T:
        """The value that the text of an answer holds.

        Raises:
            Mismatch: the text is no JSON, or not of the type.
        """
        body, offset = _bare(text)
        if self.within is None:
            return cast("T", self._decode(body, offset))
        try:
            return cast("T", self._decode(body, offset).value)
        except Mismatch as error:
            if error.position.startswith(f"$.{self.within}"):
                position = error.position.replace(f"$.{self.within}", "$", 1)
                raise Mismatch(error.message, position) from error.__cause__
            # A host that takes no schema, or does not hold its model to it, answers with the value alone.
            return cast("T", self._decode_bare(body, offset))


def decoder_of(hint: Any) -> Callable[[str], Any]:
    """A decoder of JSON text into a type, made once and used often; nothing around the JSON is forgiven.

    The decoder raises `Mismatch`.

    Raises:
        ConfigurationError: neither msgspec nor pydantic can read the hint.
    """
    return _decoder(hint)


@lru_cache(maxsize=256)
def _cached(hint: Any) -> AnswerType[Any]:
    return AnswerType(hint)


def _bare(text: str) -> tuple[str, int]:
    """The text without what is around it, and how many characters were before it."""
    start, stop = 0, len(text)
    while start < stop and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while start < stop and text[stop - 1].isspace():
        stop -= 1
    if fence := _FENCE.fullmatch(text, start, stop):
        start, stop = fence.span(1)
    return text[start:stop], start


def _wrapper(hint: Any) -> Any:
    if read_by_pydantic(hint):
        from pydantic import create_model

        return create_model("Answer", value=(hint, ...))
    return msgspec.defstruct("Answer", [("value", hint)])


# ---------------------------------------------------------------------------------------------------------------------
# Decoding


def _decoder(hint: Any) -> _Decode:
    return _pydantic_decoder(hint) if read_by_pydantic(hint) else _msgspec_decoder(hint)


def _msgspec_decoder(hint: Any) -> _Decode:
    try:
        read = msgspec.json.Decoder(hint, dec_hook=_part_hook()).decode
    except (TypeError, ValueError, NameError, RecursionError) as error:
        raise ConfigurationError(f"got {name_of(hint)}, which cannot be decoded: {_one_line(error)}") from error

    def decode(text: str, offset: int = 0, /) -> Any:
        data = _encoded(text, offset)
        try:
            return read(data)
        except RecursionError as error:
            raise _too_deep() from error
        # An old msgspec's errors are no ValueErrors; a class's own __post_init__ raises what it likes.
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise _from_msgspec(error, data, offset) from error
        except Exception as error:
            raise _from_the_type(error) from error

    return decode


def _pydantic_decoder(hint: Any) -> _Decode:
    adapter = adapter_of(hint)
    import pydantic

    def decode(text: str, offset: int = 0, /) -> Any:
        data = _encoded(text, offset)
        try:
            return adapter.validate_json(data)
        except pydantic.ValidationError as error:
            raise _from_pydantic(error, data, offset) from error
        except RecursionError as error:
            raise _too_deep() from error
        except (ValueError, TypeError) as error:
            raise Mismatch(_lower(_one_line(error)), "$") from error
        except Exception as error:
            raise _from_the_type(error) from error

    return decode


def _part_hook() -> Callable[[type, Any], Any]:
    """How msgspec reads the pydantic classes inside its own; one adapter is made for each."""
    adapters: dict[type, _Decode] = {}

    def read(cls: type, value: Any) -> Any:
        if not is_pydantic(cls):
            raise TypeError(f"Expected `{name_of(cls)}`, got `{_type_of(value)}`")
        if cls not in adapters:
            adapters[cls] = _pydantic_decoder(cls)
        # As text, since pydantic reads dates and the like from JSON by other rules than from objects.
        return adapters[cls](json.dumps(value))

    return read


def _encoded(text: str, offset: int) -> bytes:
    try:
        data = text.encode()
        check_json(data)
    except UnicodeEncodeError as error:
        raise Mismatch("got half of a surrogate pair, expected text", f"char {offset + error.start}") from error
    except BoundError as error:
        raise Mismatch(f"got {error}", "$") from error
    return data


def _from_the_type(error: Exception) -> Mismatch:
    """Of code of the type's own, which may raise what it likes: the answer was paid for, and is not lost over it."""
    try:
        said = f": {_one_line(error)}".encode(errors="backslashreplace").decode()
    except Exception:  # it may be unable to say anything
        said = ""
    return Mismatch(f"the type itself refused it: {type(error).__name__}{said}", "$")


def _too_deep() -> Mismatch:
    return Mismatch("got values nested too deep, expected fewer levels", "$")


def _from_msgspec(error: Exception, data: bytes, offset: int) -> Mismatch:
    message = str(error)
    if found := _SYNTAX.fullmatch(message):
        return Mismatch(f"got broken JSON: {found[1]}", _char(data, int(found[2]), offset))
    if not isinstance(error, msgspec.ValidationError) and message.endswith("truncated"):
        return Mismatch("got JSON that ends too early", _char(data, len(data), offset))
    found = _PLACE.fullmatch(message)
    words, of_key, path = found.groups() if found else (message, None, "$")
    inner = error.__cause__
    if isinstance(inner, Mismatch):  # a pydantic part
        return Mismatch(inner.message, path + inner.position.removeprefix("$"))
    return Mismatch(f"key: {_said(words)}" if of_key else _said(words), path)


def _from_pydantic(error: pydantic.ValidationError, data: bytes, offset: int) -> Mismatch:
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"]
    if first["type"] == "json_invalid":
        if "recursion limit" in message:
            return _too_deep()
        if found := _LINE.fullmatch(message):
            before = sum(len(line) + 1 for line in data.split(b"\n")[: int(found[2]) - 1])
            place = _char(data, before + max(int(found[3]) - 1, 0), offset)
            return Mismatch(f"got broken JSON: {_lower(found[1])}", place)
        return Mismatch(f"got broken JSON: {_lower(message)}", _char(data, 0, offset))
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    got = "" if first["type"] == "missing" else f"got `{_type_of(first['input'])}`: "
    return Mismatch(f"{got}{_lower(message)}", f"${path}")


def _char(data: bytes, position: int, offset: int) -> str:
    """The place of a byte, in characters of the whole text."""
    return f"char {offset + len(data[:position].decode('utf-8', 'ignore'))}"


def _said(message: str) -> str:
    found = _EXPECTED.fullmatch(message)
    return f"got {found[2]}, expected {found[1]}" if found else _lower(message)


def _type_of(value: object) -> str:
    name = value.__class__.__name__
    return _JSON_NAMES.get(name, name)


def _lower(message: str) -> str:
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]  # EOF stays EOF


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
