"""What the command line names, found and checked: tools in modules, a schema in a file, lines of text."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from ..errors import ConfigurationError
from ..net.files import read
from ..tools import Tool, tool
from ..types.base import is_object
from ..wire.codec import DecodeFailure, decode_json

__all__ = ["lines_of", "schema_format", "text_lines", "tools_named"]

_MOST_BYTES: Final = 20 * 1024 * 1024


def tools_named(names: Sequence[str]) -> list[Tool[..., Any]]:
    """The functions that are named as ``module:function``, as tools; modules are looked for here, too.

    Raises:
        ConfigurationError: there is no such module or function, importing it fails, or it can be no tool.
    """
    if names and "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return [_tool_named(name) for name in names]


def _tool_named(name: str) -> Tool[..., Any]:
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigurationError(f"got the tool {name!r}, expected module:function")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # of the caller's own code, which is run by the import
        raise ConfigurationError(f"the tool {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if isinstance(found, Tool):
        return cast("Tool[..., Any]", found)
    if not callable(found):
        raise ConfigurationError(f"got the tool {name!r}, which is of type {type(found).__name__}, expected a function")
    return tool(found)


async def schema_format(path: Path) -> dict[str, Any]:
    """A ``response_format`` of the JSON Schema in a file, or of the whole ``json_schema`` object, with name and schema.

    A schema that stands alone is asked for strictly, so that the service refuses what it cannot keep to.

    Raises:
        ConfigurationError: the file cannot be read, or holds no JSON object.
    """

    def understood(data: bytes) -> dict[str, Any]:
        try:
            value = decode_json(data)
        except DecodeFailure as error:
            raise ConfigurationError(f"got no JSON, expected a JSON Schema: {error}") from None
        if not is_object(value):
            raise ConfigurationError(f"got JSON of type {type(value).__name__}, expected a JSON Schema, an object")
        if is_object(value.get("schema")) and isinstance(value.get("name"), str):
            return value
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(value.get("title") or path.stem))[:64]
        return {"name": name, "schema": value, "strict": True}

    return {"type": "json_schema", "json_schema": await read(path, max_bytes=_MOST_BYTES, then=understood)}


async def lines_of(path: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return await read(path, max_bytes=_MOST_BYTES, then=text_lines)


def text_lines(data: bytes) -> list[str]:
    """The lines of a text that are not blank; bytes that are no UTF-8 are replaced."""
    return [line.strip() for line in data.decode("utf-8-sig", "replace").split("\n") if line.strip()]
