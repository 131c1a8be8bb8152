"""The annotation of a parameter, put as msgspec reads it.

msgspec passes over what it does not know in an ``Annotated``, so pydantic's ``Field(...)`` would lose its bounds
without a word: it is translated here, or refused. pydantic is never imported for that; where it is not loaded, no
annotation holds anything of it.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal, Optional, Union, cast, get_args, get_origin

import msgspec

from ..errors import ConfigurationError

__all__ = ["described", "is_pydantic_field", "nullable", "without_pydantic_fields"]

_BOUNDS: Final = frozenset({"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern"})
_WORDS: Final = ("title", "description", "examples")


def is_pydantic_field(value: object) -> bool:
    """Whether a value is what pydantic's ``Field(...)`` makes."""
    fields = sys.modules.get("pydantic.fields")
    return fields is not None and isinstance(value, fields.FieldInfo)


def without_pydantic_fields(hint: Any, place: str) -> Any:
    """The hint with each ``pydantic.Field(...)`` in it as the ``msgspec.Meta(...)`` that says the same.

    Args:
        hint: a type, with what its ``Annotated`` hold.
        place: what has the hint, for the message.

    Raises:
        ConfigurationError: a field says more than bounds and words.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal or not args:
        return hint
    if origin is Annotated:
        said = without_pydantic_fields(args[0], place)
        for extra in args[1:]:
            said = _with_field(said, extra, place) if is_pydantic_field(extra) else Annotated[said, extra]
        return said
    parts = tuple(without_pydantic_fields(arg, place) for arg in args)
    if all(new is old for new, old in zip(parts, args, strict=True)):
        return hint
    return Union[parts] if origin in (Union, types.UnionType) else origin[parts]  # noqa: UP007  (made from a tuple)


def described(hint: Any, said: str | None, *, or_none: bool) -> Any:
    """The hint with its description where msgspec looks for it; what stands in the hint wins.

    Args:
        hint: a type, with what its ``Annotated`` hold.
        said: what the docstring says.
        or_none: take None too.
    """
    for extra in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        if isinstance(extra, str):
            said = extra
        elif isinstance(extra, msgspec.Meta) and extra.description:
            said = None
            break
    hint = nullable(hint) if or_none else hint
    return Annotated[hint, msgspec.Meta(description=said)] if said else hint


def nullable(hint: Any) -> Any:
    """The hint, or None; a hint that takes None already stays as it is."""
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    takes_none = base in (Any, object, None, type(None)) or type(None) in get_args(base)
    return hint if takes_none else Optional[hint]  # noqa: UP045  (a hint may be no type that has `|`)


def _with_field(hint: Any, field: Any, place: str) -> Any:
    bounds: dict[str, Any] = {}
    for item in field.metadata:
        names = cast("Iterable[str]", getattr(item, "__dataclass_fields__", None) or vars(item))
        bounds |= {name: getattr(item, name) for name in names}
    if not_ours := sorted({*bounds.keys() - _BOUNDS, *_further(field)}):
        raise _refusal(place, f"with {', '.join(not_ours)}, which only pydantic reads")
    words = {name: value for name in _WORDS if (value := getattr(field, name)) is not None}
    try:
        bound = _bounded(hint, msgspec.Meta(**bounds)) if bounds else hint
        return Annotated[bound, msgspec.Meta(**words)] if words else bound
    except (TypeError, ValueError, re.error) as error:
        raise _refusal(place, f"with what msgspec cannot check: {error}") from error


def _bounded(hint: Any, meta: msgspec.Meta) -> Any:
    """The hint with bounds: on the type itself, since msgspec takes none on ``int | None``."""
    others = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (Union, types.UnionType) and len(others) == 1:
        return nullable(Annotated[others[0], meta])
    return Annotated[hint, meta]


def _further(field: Any) -> Iterator[str]:
    """What else the field was told: whatever differs from one that was told nothing."""
    kind = cast("Any", type(field))
    plain = kind()
    for name in kind.__slots__:
        if not name.startswith("_") and name not in (*_WORDS, "metadata", "annotation"):
            value, usual = getattr(field, name), getattr(plain, name)
            if value is not usual and value != usual:
                yield name


def _refusal(place: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"got {place} as a pydantic Field {what}; use Annotated[..., msgspec.Meta(...)] instead")
