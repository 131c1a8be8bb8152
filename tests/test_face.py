"""The face of the package: what it shows, and what it costs to look at it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import inference_async
from inference_async import errors, types
from tests.test_walls import PACKAGE

NAMES = [name for name in inference_async.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(inference_async, name)
    assert value is getattr(inference_async, name)
    assert name in dir(inference_async)
    if name != "UNSET":
        assert value.__doc__, "a public name says what it is"
        assert value.__module__.startswith("inference_async.")


def test_all_is_sorted_and_whole() -> None:
    assert len(set(inference_async.__all__)) == len(inference_async.__all__)
    assert set(errors.__all__) <= set(NAMES), "every error is on the face"
    assert {"InferenceClient", "ChatStream", "Endpoint", "Timeouts", "Limits"} <= set(NAMES)
    public = set(types.__all__) - {
        "Open",
        "OptionsBesideTools",
        "UnsetType",
        "ChatRequest",
        "ContentPart",
        "Message",
        "Messages",
    }
    inner = {"ChunkChoice", "CompletionTokensDetails", "Delta", "FunctionCallDelta", "PromptTokensDetails"}
    assert public - inner - {"ToolCallDelta"} <= set(NAMES), "every Struct a user makes or meets first"


def test_checkers_see_what_runs() -> None:
    """The TYPE_CHECKING block imports the names of `__all__`, no more and no less."""
    import ast

    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(NAMES)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Frobnicate'"):
        getattr(inference_async, "Frobnicate")  # noqa: B009  (the checkers know better than to let it through)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a fresh interpreter, and our own in full."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(list(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    return {name for name in json.loads(output) if name.startswith("inference_async") or "." not in name}


@pytest.mark.parametrize(
    ("statement", "not_loaded"),
    [
        ("import inference_async", {"aiohttp", "msgspec", "anyio", "azure", "click", "rich", "asyncio"}),
        ("import inference_async.compat.azure_ai_inference.models", {"aiohttp", "anyio", "msal"}),
        ("import inference_async.wire.sse", {"aiohttp", "anyio", "azure", "click", "asyncio"}),
        ("import inference_async.types", {"aiohttp", "anyio", "azure", "click", "asyncio"}),
        ("from inference_async import InferenceError", {"aiohttp", "msgspec", "azure"}),
        (
            "from inference_async import InferenceClient",
            {
                *("azure", "msal", "click", "rich", "pydantic", "opentelemetry"),
                *("inference_async.emulator", "inference_async.cli", "inference_async.compat"),
                *("inference_async.structured", "inference_async.tools"),
            },
        ),
    ],
)
def test_importing_loads_no_more_than_is_asked_for(statement: str, not_loaded: set[str]) -> None:
    assert loaded_by(statement) & not_loaded == set()


def test_the_face_loads_two_modules_of_ours() -> None:
    ours = {name for name in loaded_by("import inference_async") if name.startswith("inference_async")}
    assert ours == {"inference_async", "inference_async._version"}
