"""The face of the room: what it shows, and what it costs to look at it."""

from __future__ import annotations

import ast

import pytest

from inference_async import testing
from tests.test_face import loaded_by
from tests.test_walls import PACKAGE

OURS = ("inference_async", "inference_async._version", "inference_async.testing")


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(testing, name)
    assert value is getattr(testing, name)
    assert name in dir(testing)
    if name != "CHECKS":
        assert value.__doc__, "a public name says what it is"
        assert value.__module__.startswith("inference_async.testing.")


def test_checkers_see_what_runs() -> None:
    tree = ast.parse((PACKAGE / "testing" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(testing.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Frobnicate'"):
        getattr(testing, "Frobnicate")  # noqa: B009  (the checkers know better than to let it through)


def test_the_face_loads_three_modules_of_ours() -> None:
    ours = {name for name in loaded_by("import inference_async.testing") if name.startswith("inference_async")}
    assert ours == set(OURS)


def test_the_plugin_loads_nothing_of_ours_but_itself_and_the_face() -> None:
    loaded = loaded_by("import pytest; before = set(sys.modules); import inference_async.testing.plugin")
    assert {name for name in loaded if name.startswith("inference_async")} == {*OURS, "inference_async.testing.plugin"}
    assert not loaded & {"aiohttp", "msgspec", "anyio", "azure", "asyncio"} - loaded_by("import pytest")


def test_no_name_loads_pytest() -> None:
    assert "pytest" not in loaded_by("from inference_async.testing import *")
