"""What all Structs of an answer have in common: they lose nothing.

The decoder of a hot stream refuses unknown fields, so the common event pays nothing for them. An event that has some is
decoded a second time, on the slow path of `wire/codec.py`, which moves them under one wire name that no service
sends; from there they come back as ``extra``, and go out again at their old place when the value is sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeGuard, cast

import msgspec
from msgspec import UNSET, UnsetType

__all__ = ["EXTRA", "UNSET", "Open", "UnsetType", "is_array", "is_mapping", "is_object", "is_whole", "plain"]

EXTRA: Final = "*inference_async.extra"
"""The wire name under which a Struct holds the fields it does not know; no service sends it."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value of the caller's is a mapping of any kind."""
    return isinstance(value, Mapping)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value of the caller's is a whole number; True and False are none, though Python counts with them."""
    return isinstance(value, int) and not isinstance(value, bool)


class Open(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,  # JSON values hold no cycles, so the collector need not look at them
):
    """A part of an answer."""

    unknown_fields: dict[str, Any] | UnsetType = msgspec.field(default=UNSET, name=EXTRA)

    @property
    def extra(self) -> Mapping[str, Any]:
        """The fields that the service sent and this class does not know, by name; read-only, often empty."""
        return MappingProxyType(self.unknown_fields) if self.unknown_fields else _NOTHING

    def to_dict(self) -> dict[str, Any]:
        """The value as plain dicts and lists, fit for `json.dumps`; without what is null or empty, with ``extra``."""
        return cast("dict[str, Any]", plain(self, keep_defaults=True))


def plain(value: Any, *, keep_defaults: bool = False) -> Any:
    """A Struct, or what holds some, as plain objects ready to be encoded, ``extra`` fields where they came from."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        out: dict[str, Any] = {config.tag_field: config.tag} if config.tag_field else {}
        for name, wire_name, default in _sent(type(value)):
            item = getattr(value, name)
            if item is UNSET or (config.omit_defaults and item == default and not (keep_defaults and _says(item))):
                continue
            out[wire_name] = plain(item, keep_defaults=keep_defaults)
        for name, item in value.extra.items() if isinstance(value, Open) else ():
            out.setdefault(name, plain(item, keep_defaults=keep_defaults))
        return out
    if is_mapping(value):
        return {name: plain(item, keep_defaults=keep_defaults) for name, item in value.items()}
    if keep_defaults and isinstance(value, array):
        return list[Any](cast("Any", value))
    if isinstance(value, list | tuple):
        return [plain(item, keep_defaults=keep_defaults) for item in cast("list[Any]", value)]
    return value


def _says(value: Any) -> bool:
    return value is not None and value not in ("", [])


@cache
def _sent(cls: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Name, wire name and default of the fields that go over the wire."""
    return tuple(
        (field.name, field.encode_name, [] if field.default_factory is list else field.default)
        for field in msgspec.structs.fields(cls)
        if not field.encode_name.startswith("*")
    )
