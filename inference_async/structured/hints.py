"""What a type hint holds: its name for people, and which of the two libraries can read it.

pydantic is never imported to find out whether it is needed: a hint can hold a pydantic class only if the caller has
imported pydantic already, so `sys.modules` is asked.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["adapter_of", "is_pydantic", "name_of", "read_by_pydantic"]


def name_of(hint: Any) -> str:
    """A hint as people write it, without modules: ``City``, ``list[City]``, ``City | None``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return name_of(args[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(map(name_of, args))
    if origin is not None and args:
        return f"{name_of(origin)}[{', '.join(map(name_of, args))}]"
    if hint in (None, type(None)):
        return "None"
    return "..." if hint is ... else str(getattr(hint, "__name__", hint))


def is_pydantic(value: Any) -> bool:
    """Whether a value is a class made by pydantic: a model, or a dataclass of its own kind."""
    models, dataclasses_ = sys.modules.get("pydantic.main"), sys.modules.get("pydantic.dataclasses")
    return isinstance(value, type) and (
        (models is not None and issubclass(value, models.BaseModel))
        or (dataclasses_ is not None and dataclasses_.is_pydantic_dataclass(value))
    )


def read_by_pydantic(hint: Any) -> bool:
    """Whether the whole hint is pydantic's to read.

    It is where a pydantic class stands anywhere in it and no class that only msgspec knows (a Struct, an attrs class)
    does. A hint that holds both is msgspec's, which asks pydantic for those parts alone.
    """
    if "pydantic" not in sys.modules:
        return False
    classes = list(_classes(hint, []))
    return any(map(is_pydantic, classes)) and not any(map(_is_msgspec_only, classes))


def adapter_of(hint: Any) -> TypeAdapter[Any]:
    """The reader that pydantic makes of a hint.

    Raises:
        ConfigurationError: pydantic cannot read the hint, or is older than version 2.
    """
    try:
        from pydantic import PydanticUserError, TypeAdapter
    except ImportError as error:
        raise ConfigurationError(f"{name_of(hint)} holds a pydantic class; install pydantic 2 or later") from error
    try:
        return TypeAdapter(hint)
    except (PydanticUserError, AttributeError, NameError, TypeError) as error:
        raise ConfigurationError(f"got {name_of(hint)}, which pydantic cannot read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _is_msgspec_only(cls: Any) -> bool:
    return issubclass(cls, msgspec.Struct) or hasattr(cls, "__attrs_attrs__")


def _classes(hint: Any, seen: list[Any]) -> Iterator[type[Any]]:
    """Every class in a hint and, for classes with fields other than pydantic's, in the hints of their fields."""
    if any(hint is other for other in seen):
        return
    seen.append(hint)
    if isinstance(hint, type) and get_origin(hint) is None:
        cls = cast("type[Any]", hint)
        yield cls
        if _has_fields(cls) and not is_pydantic(cls):
            try:
                fields = typing.get_type_hints(cls, include_extras=True)
            except (NameError, TypeError):  # msgspec reads the class next, and says what is wrong with it
                return
            for field in fields.values():
                yield from _classes(field, seen)
        return
    alias = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)  # `type X = ...`, NewType
    for part in (get_origin(hint), *get_args(hint), alias):
        if part is not None and not isinstance(part, str | int | bytes):
            yield from _classes(part, seen)


def _has_fields(cls: Any) -> bool:
    if dataclasses.is_dataclass(cls) or typing.is_typeddict(cls) or _is_msgspec_only(cls):
        return True
    return issubclass(cls, tuple) and hasattr(cast("Any", cls), "_fields")
