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

Nothing that a server sent is decoded before `check_json` has looked at it: msgspec, like every decoder, uses the C
stack for each level, and holds the interpreter from the first value to the last. So the depth is bounded, and where a
text is large the number of values too. The usual chunk pays for one search for brackets.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..policy.limits import DEFAULT_LIMITS
from ..types import ChatCompletion, ChatCompletionChunk, EmbeddingsResult
from ..types.base import EXTRA, is_array, is_mapping, is_object, plain

__all__ = [
    "LARGE",
    "MAX_DEPTH",
    "BoundError",
    "DecodeFailure",
    "check_json",
    "decode_checked",
    "decode_chunk",
    "decode_completion",
    "decode_embeddings",
    "decode_json",
    "encode",
    "lenient",
    "plain",
    "with_replacements",
    "without_halves",
]

T = TypeVar("T", bound=msgspec.Struct)

LARGE: Final = 256 * 1024
"""From this many bytes on the values in a text are counted before it is decoded, and decoding is worth a thread."""

MAX_DEPTH: Final = 64
"""How many levels of arrays and objects a text may have: half of what a thread with a stack of 64 KiB survives."""

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

encode: Callable[[Any], bytes] = _encoder.encode


class BoundError(ValueError):
    """JSON that is too deep, or holds too many values, to be decoded at all."""


DecodeFailure = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BoundError)
"""What decoding raises: msgspec's class for malformed and mistyped text, two that it lets through, and our refusal."""


# ---------------------------------------------------------------------------------------------------------------------
# Before decoding

_FEW_ARRAYS: Final = 4
# So many bytes with few arrays cannot be deeper: a level of objects takes {"":} at least, one of arrays [].
_ALWAYS_FLAT: Final = 5 * (MAX_DEPTH - _FEW_ARRAYS) + 2 * _FEW_ARRAYS
_SCANNED_AT_ONCE: Final = 64 * 1024  # no single call into C may keep the event loop's thread waiting
_BRACKETS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one level in, one level out
_ALL_ELSE: Final = bytes(set(range(256)) - set(b"[]{}"))


def check_json(data: bytes, max_values: int = DEFAULT_LIMITS.max_body_values) -> None:
    """Refuse JSON that is deeper than `MAX_DEPTH`, or large and full of values; what is no JSON may pass.

    Args:
        data: the text, in which nothing else is looked at.
        max_values: the weight of the values of a text of `LARGE` bytes or more: one for each array, object and string,
            an eighth for each comma, and so for each number or literal: they cost that much less.

    Raises:
        BoundError: it is over a bound; the message names it.
    """
    if len(data) >= LARGE:
        _scan(data, max_values)
    # Whether more is left when some are deleted is the quickest question about the number of a few among many bytes.
    elif 0x5B in data.replace(b"[", b"", MAX_DEPTH // 2) or 0x7B in data.replace(b"{", b"", MAX_DEPTH // 2):
        _scan(data, None)


def _scan(data: bytes, max_values: int | None) -> None:
    """Follow the brackets that stand outside of strings, piece by piece.

    Up to the first byte that cannot be JSON it is exact, and no decoder reads on from there.
    """
    depth = eighths = inside = 0
    for piece in _pieces(data):
        spans = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(spans[inside::2])
        inside = (inside + len(spans) - 1) % 2
        brackets = outside.translate(_BRACKETS, _ALL_ELSE)
        opened = brackets.count(1)
        if depth + opened > MAX_DEPTH and max(accumulate(memoryview(brackets).cast("b"), initial=depth)) > MAX_DEPTH:
            raise BoundError(f"values nested over {MAX_DEPTH} levels deep")
        depth += 2 * opened - len(brackets)
        eighths += 8 * opened + 4 * (len(spans) - 1) + outside.count(b",")
        if max_values is not None and eighths > 8 * max_values:
            raise BoundError(f"over {max_values:,} values")


def _pieces(data: bytes) -> Iterator[bytes]:
    """The text in pieces that part no backslash from what it escapes."""
    rest = b""
    for start in range(0, len(data), _SCANNED_AT_ONCE):
        piece = rest + data[start : start + _SCANNED_AT_ONCE]
        is_open = (len(piece) - len(piece.rstrip(b"\\"))) % 2
        rest = b"\\" * is_open
        yield piece[: len(piece) - is_open]
    if rest:
        yield rest


# ---------------------------------------------------------------------------------------------------------------------
# The fast path

_read_chunk: Final = msgspec.json.Decoder(ChatCompletionChunk).decode
_read_completion: Final = msgspec.json.Decoder(ChatCompletion).decode
_read_embeddings: Final = msgspec.json.Decoder(EmbeddingsResult).decode


def decode_chunk(data: bytes, max_values: int = DEFAULT_LIMITS.max_event_values) -> ChatCompletionChunk:
    """The fast path for one event of a stream; raises one of `DecodeFailure` for whatever is out of the ordinary."""
    # The question of `check_json` in other numbers, and without a call: this is the one place where that is felt.
    if 0x5B in data.replace(b"[", b"", _FEW_ARRAYS) or (
        len(data) > _ALWAYS_FLAT and (len(data) >= LARGE or 0x7B in data.replace(b"{", b"", MAX_DEPTH - _FEW_ARRAYS))
    ):
        check_json(data, max_values)
    return _read_chunk(data)


def decode_completion(data: bytes, max_values: int = DEFAULT_LIMITS.max_body_values) -> ChatCompletion:
    """The fast path for a whole answer; raises one of `DecodeFailure`."""
    check_json(data, max_values)
    return _read_completion(data)


def decode_embeddings(data: bytes, max_values: int = DEFAULT_LIMITS.max_body_values) -> EmbeddingsResult:
    """The fast path for embeddings; raises one of `DecodeFailure`."""
    check_json(data, max_values)
    return _read_embeddings(data)


# ---------------------------------------------------------------------------------------------------------------------
# The slow path


def decode_json(data: bytes, max_values: int = DEFAULT_LIMITS.max_body_values) -> Any:
    """JSON as plain objects; raises one of `DecodeFailure`.

    Half a surrogate pair, which JSON can say and text cannot, is replaced, as the standard replaces bad UTF-8.
    """
    check_json(data, max_values)
    try:
        return _decode_any(data)
    except msgspec.DecodeError:
        whole = without_halves(data)
        if whole == data:
            raise
        return _decode_any(whole)


def decode_checked(data: bytes | memoryview) -> Any:
    """JSON as plain objects, of a text that `check_json` has passed; raises one of `DecodeFailure`."""
    return _decode_any(data)


# Where no backslash is escaped: the first half of a pair without the second, and the other way round.
_HALF: Final = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
_BETWEEN: Final = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u|\\u(?![dD][c-fC-F])")


def without_halves(data: bytes) -> bytes:
    """The same JSON with a replacement character for each half of a surrogate pair."""
    if b"\\u" not in data or b"\0" in data:
        return data
    # An escaped backslash becomes what JSON cannot hold, so that each one left begins an escape.
    data = b"".join([piece.replace(b"\\\\", b"\0\0") for piece in _pieces(data)])
    pieces: list[bytes] = []
    start = 0
    while start < len(data):
        cut = _BETWEEN.search(data, start + _SCANNED_AT_ONCE)
        end = cut.start() if cut else len(data)
        pieces.append(_HALF.sub(rb"\\ufffd", data[start:end]).replace(b"\0\0", b"\\\\"))
        start = end
    return b"".join(pieces)


def with_replacements(data: bytes) -> bytes:
    """The same text in UTF-8 without what is no UTF-8, replaced as the standard says."""
    decoder = getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(piece).encode() for piece in _pieces(data)]
    return b"".join(pieces) + decoder.decode(b"", final=True).encode()


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
