"""The reference: every public name, method and property says what it is, and stands on exactly one page."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

import inference_async
from inference_async import emulator, testing, tools, types
from inference_async.compat.azure_ai_inference import aio, models
from tests.test_walls import PACKAGE

PAGES = PACKAGE.parent / "docs" / "reference"
WORDED_BY_HAND = re.compile(r"\{ #(inference_async\.[\w.]+) \}$", re.MULTILINE)
DIRECTIVE = re.compile(r"^::: (inference_async[\w.]*)\n((?:    .*\n)*)", re.MULTILINE)
INNER = {"ChatRequest", "Open", "OptionsBesideTools", "UnsetType"}
"""Names of `inference_async.types` that users neither make nor meet."""


def home(path: str) -> str:
    """The module that a name is from, and the name: by whatever path it is reached, it is one."""
    module, _, name = path.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    origin = getattr(value, "__module__", None)
    return f"{origin}.{name}" if isinstance(origin, str) and origin.startswith("inference_async") else name


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, its own and those of bases from this package."""
    for base in cls.__mro__:
        for name, value in vars(base).items() if base.__module__.startswith("inference_async") else ():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(function) and not name.startswith("_"):
                yield f"{base.__name__}.{name}", function


def public() -> Iterator[str]:
    for module in (inference_async, testing, emulator, tools, types, aio, models):
        yield from (f"{module.__name__}.{name}" for name in module.__all__ if module is not types or name not in INNER)
    yield "inference_async.local.connect"
    yield "inference_async.wire.endpoints.Dialect"


def on_pages() -> Iterator[str]:
    for page in PAGES.glob("*.md"):
        text = page.read_text()
        yield from WORDED_BY_HAND.findall(text)
        for path, options in DIRECTIVE.findall(text):
            if path in (
                "inference_async.compat.azure_ai_inference.aio",
                "inference_async.compat.azure_ai_inference.models",
            ):
                yield from (f"{path}.{name}" for name in importlib.import_module(path).__all__)
            elif "members: false" not in options:
                yield path


def test_every_public_name_stands_on_exactly_one_page() -> None:
    counted = Counter(map(home, on_pages()))
    assert {name: count for name, count in counted.items() if count > 1} == {}
    assert {home(path) for path in public()} - counted.keys() == set()


@pytest.mark.parametrize("path", sorted(set(public()) | set(on_pages())))
def test_it_says_what_it_is(path: str) -> None:
    module, _, name = path.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    if name == "UNSET":
        return  # it is msgspec's; the page says what it means here
    if inspect.isclass(value):
        assert vars(value).get("__doc__"), path
        assert [member for member, function in members(value) if not function.__doc__] == []
    elif inspect.isfunction(value):
        assert value.__doc__, path
    else:
        assert described(name), f"{path}: a string below the assignment says what it is"


def callables() -> Iterator[tuple[str, Any]]:
    for path in public():
        module, _, name = path.rpartition(".")
        value = getattr(importlib.import_module(module), name)
        if inspect.isfunction(value):
            yield path, value
        elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
            yield from members(value)


@pytest.mark.parametrize(
    ("name", "function"), sorted(dict(callables()).items()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_takes_much_says_what_each_is(name: str, function: Any) -> None:
    """Three arguments or more are described one by one, or are said to be those of `complete`."""
    taken = [
        each for each in inspect.signature(function).parameters if each not in ("self", "cls", "options", "unknown")
    ]
    assert len(taken) < 3 or "Args:" in function.__doc__ or "`complete`" in function.__doc__, (name, taken)


def described(name: str) -> bool:
    """Whether the assignment of a constant or an alias, wherever it is, has a docstring below it."""
    for path in PACKAGE.rglob("*.py"):
        if not re.search(rf"^{name}\b.*=", path.read_text(), re.MULTILINE):
            continue
        body = ast.parse(path.read_text()).body
        for node, below in pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    return False
