"""What the command line names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference_async import ConfigurationError
from inference_async.cli.named import lines_of, schema_format, text_lines, tools_named

SCHEMA = {"type": "object", "properties": {}, "title": "My city!"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (SCHEMA, {"name": "My_city_", "schema": SCHEMA, "strict": True}),
        ({"type": "object"}, {"name": "a_city", "schema": {"type": "object"}, "strict": True}),
        ({"name": "n", "schema": SCHEMA}, {"name": "n", "schema": SCHEMA}),
        (
            {"name": "n", "schema": SCHEMA, "strict": False, "description": "d"},
            {"name": "n", "schema": SCHEMA, "strict": False, "description": "d"},
        ),
    ],
)
async def test_a_schema(given: object, sent: object, tmp_path: Path) -> None:
    path = tmp_path / "a city.json"
    path.write_text(json.dumps(given))
    assert await schema_format(path) == {"type": "json_schema", "json_schema": sent}


@pytest.mark.parametrize(
    ("text", "words"), [("{", "got no JSON"), ("[]", "got JSON of type list"), ("", "got no JSON")]
)
async def test_no_schema(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "city.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"city.json': {words}"):
        await schema_format(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json", "expected module:function"),
        (":dumps", "expected module:function"),
        ("json:", "expected module:function"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("json:nothing", "cannot be imported: AttributeError"),
        ("json:__name__", "of type str, expected a function"),
        ("json:dumps", "dumps"),
    ],
)
def test_no_tool(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        tools_named([name])


def test_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools_of_a_test.py").write_text(
        "from inference_async import tool\n"
        "def plain(a: int) -> int:\n    '''Plain.'''\n    return a\n"
        "@tool(name='other')\ndef made(a: int) -> int:\n    '''Made.'''\n    return a\n"
        "class Box:\n    @staticmethod\n    def inner(a: int) -> int:\n        '''Inner.'''\n        return a\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nonexistent"])
    found = tools_named(["tools_of_a_test:plain", "tools_of_a_test:made", "tools_of_a_test:Box.inner"])
    assert [each.name for each in found] == ["plain", "other", "inner"]


async def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n  two \nthr\xffee")
    assert await lines_of(path) == ["one", "two", "thr\ufffdee"]
    assert text_lines(b"") == []
