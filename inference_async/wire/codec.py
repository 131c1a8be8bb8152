"""Structs to bytes and back; the encoders and decoders are made once, here.

Decoding has two paths. The fast one is a typed msgspec decoder that knows every field the service documents and
refuses the rest. What it refuses takes the slow one, `lenient`: decode to plain objects, put them right, convert.
"Right" means:

- a field that the Struct does not know moves under ``extra`` (see `types/base.py`), so that nothing is lost;
- null where the Struct has no null counts as absent: ``choices: null`` is no choice, ``delta: null`` an empty one;
- another value where text is expected becomes its JSON text: some servers send tool arguments as an object;
- numbers may be written as floats or strings where the value is whole;
- of what is neither the answer nor its shape (usage, log probabilities, filter results ...), a value that cannot be
  read moves under ``extra`` too: a decoration is no reason to lose a paid answer.

`plain` is the way back: a Struct as plain objects, its ``extra`` fields at the place they came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..types import ChatCompletion, ChatCompletionChunk, EmbeddingsResult
from ..types.base import EXTRA, is_array, is_mapping, is_object, plain

__all__ = [
    "DecodeFailure",
    "decode_chunk",
    "decode_completion",
    "decode_embeddings",
    "decode_json",
    "encode",
    "lenient",
    "plain",
]

T = TypeVar("T", bound=msgspec.Struct)

# How msgspec words the place of a fault: "Expected `int`, got `str` - at `$.choices[0].index`".
_PLACE: Final = re.compile(r"at `\$([^`]*)`")
_CORE: Final = frozenset(
    {"choices", "data", "delta", "message", "content", "tool_calls", "function", "index", "finish_reason"}
)
_MOST_SET_ASIDE: Final = 16  # each costs a conversion, so a server must not choose how many
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")

_decode_any = msgspec.json.Decoder(strict=False).decode


def _encode_unusual(value: Any) -> Any:
    """What msgspec asks about types it does not know: mappings of other kinds are objects too."""
    if is_mapping(value):
        return dict(value)
    raise TypeError(f"objects of type {type(value).__name__} have no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_encode_unusual)

decode_chunk: Callable[[bytes], ChatCompletionChunk] = msgspec.json.Decoder(ChatCompletionChunk).decode
"""The fast path for one event of a stream; raises one of `DecodeFailure` for whatever is out of the ordinary."""

decode_completion: Callable[[bytes], ChatCompletion] = msgspec.json.Decoder(ChatCompletion).decode
"""The fast path for a whole answer."""

decode_embeddings: Callable[[bytes], EmbeddingsResult] = msgspec.json.Decoder(EmbeddingsResult).decode
"""The fast path for embeddings."""

encode: Callable[[Any], bytes] = _encoder.encode

DecodeFailure = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Everything msgspec raises on bad JSON: its own class for malformed and mistyped text, and two it lets through."""


def decode_json(data: bytes | memoryview) -> Any:
    """JSON as plain objects; raises one of `DecodeFailure`.

    Half a surrogate pair, which JSON can say and text cannot, is replaced, as the standard replaces bad UTF-8.
    """
    try:
        return _decode_any(data)
    except msgspec.DecodeError:
        if b"\\u" not in bytes(data):
            raise
        whole = _without_halves(bytes(data))
        if whole is None:
            raise
        return _decode_any(whole)


def _without_halves(data: bytes) -> bytes | None:
    """The same JSON without halves of surrogate pairs; None if it is not JSON for another reason."""
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def lenient(obj: Any, cls: type[T]) -> T:
    """Convert plain objects to a Struct on the slow path.

    Raises:
        msgspec.ValidationError: the object has another shape altogether; the message names the place.
    """
    tree = _put_right(obj, cls)
    for count in range(_MOST_SET_ASIDE):
        try:
            return msgspec.convert(tree, cls, strict=False)
        except msgspec.ValidationError as error:
            # First what cannot be read alone; where there is no end of it, all of what it stands in.
            if not _set_aside(tree, str(error), whole=count >= _MOST_SET_ASIDE // 2):
                raise
    return msgspec.convert(tree, cls, strict=False)


def _set_aside(tree: Any, complaint: str, *, whole: bool) -> bool:
    """Move the value a validation error complains about under ``extra``, unless it is of the answer itself."""
    place = _PLACE.search(complaint)
    steps: list[tuple[str, str]] = _STEP.findall(place[1]) if place else []
    while steps and not steps[-1][0]:  # an item that cannot be read takes its list along
        steps.pop()
    decorations = [place for place, (name, _) in enumerate(steps) if name and name not in _CORE]
    if whole and decorations:
        steps = steps[: decorations[0] + 1]
    parent = None
    for name, index in steps:
        parent = tree
        try:
            tree = tree[name] if name else tree[int(index)]
        except (LookupError, TypeError):
            return False  # a step that is written in another way
    name = steps[-1][0] if steps else ""
    in_logprobs = any(step == "logprobs" for step, _ in steps)
    if not name or (name in _CORE and not in_logprobs) or not is_object(parent):
        return False
    parent.setdefault(EXTRA, {})[name] = _as_sent(parent.pop(name))
    return True


def _as_sent(value: Any) -> Any:
    """A value that `_put_right` has been through, with the fields it moved back at their place."""
    if is_array(value):
        return [_as_sent(item) for item in value]
    if not is_object(value):
        return value
    moved: dict[str, Any] = value.get(EXTRA, {})
    return {name: _as_sent(item) for name, item in value.items() if name != EXTRA} | moved


class _Field(NamedTuple):
    nullable: bool
    text: bool
    struct: type[msgspec.Struct] | None


@cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, _Field]:
    hints = get_type_hints(cls)
    return {
        field.encode_name: _describe(hints[field.name])
        for field in msgspec.structs.fields(cls)
        if not field.encode_name.startswith("*")
    }


def _describe(hint: Any) -> _Field:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    inner = [arg for option in options for arg in (get_args(option) or (option,))]
    structs = [arg for arg in inner if isinstance(arg, type) and issubclass(arg, msgspec.Struct)]
    text = str in options and not any(get_origin(option) or option is Any for option in options)
    return _Field(NoneType in options or Any in options, text, structs[0] if structs else None)


def _put_right(obj: Any, cls: type[msgspec.Struct]) -> Any:
    if not is_object(obj):
        return obj
    fields = _fields(cls)
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in obj.items():
        field = fields.get(name)
        if field is None:
            if name != cls.__struct_config__.tag_field:
                unknown[name] = value
        elif value is None:
            if field.nullable:
                known[name] = None
        elif field.struct is not None:
            if is_array(value):
                known[name] = [_put_right(item, field.struct) for item in value]
            else:
                known[name] = _put_right(value, field.struct)
        elif field.text and not isinstance(value, str):
            known[name] = encode(value).decode()
        else:
            known[name] = value
    if unknown:
        known[EXTRA] = unknown
    return known
