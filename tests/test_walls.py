"""The walls: which room may import which, read from the imports with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "inference_async"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    "_version": 0,
    "errors": 1,
    "types": 1,
    "wire": 2,
    "policy": 2,
    "structured": 2,
    "net": 3,
    "emulator": 3,
    "given": 4,
    "lenses": 4,
    "sse": 4,
    "stream": 4,
    "tools": 4,
    "client": 5,
    "local": 6,
    "compat": 6,
    "testing": 6,
    "cli": 7,
    "__main__": 8,
}
PURE = ("types", "wire", "policy", "structured")
DEPENDENCIES = {
    "aiohttp": {
        "net/aiohttp.py",
        "net/body.py",
        "net/connector.py",
        "net/direct.py",
        "net/faults.py",
        "client.py",
        "emulator/server.py",
        "emulator/upstream.py",
    },  # client.py: in a TYPE_CHECKING block only
    "yarl": {"net/aiohttp.py", "net/direct.py"},
    "anyio": {"net/files.py", "net/threads.py"},
    "azure": {
        "net/auth.py",  # in the one function that needs it
        "compat/azure_ai_inference/__init__.py",
        "compat/azure_ai_inference/_errors.py",
        "compat/azure_ai_inference/models.py",
    },
    "click": {"cli/app.py", "cli/completion.py", "cli/serve.py"},
    "markdown_it": {"cli/growing.py"},
    "prompt_toolkit": {"cli/prompt.py"},  # imported when a session begins
    "pydantic": {"structured/answers.py", "structured/hints.py", "structured/schema.py"},  # inside functions only
    "pytest": {"testing/plugin.py"},
    "rich": {
        "cli/asked.py",
        "cli/conformance.py",
        "cli/doctor.py",
        "cli/embed.py",
        "cli/faults.py",
        "cli/growing.py",
        "cli/info.py",
        "cli/render.py",
    },
}

LATE = {("types", ".net.files")}
"""The one arrow that points up: `ImagePart.load` and its like hand their work to the room that waits, when called. It
is drawn inside functions only, so that importing the types still imports no I/O."""

each_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def nodes(source: str) -> Iterator[tuple[ast.AST, bool]]:
    """Every node of a source, and whether it stands in a TYPE_CHECKING block."""

    def walk(node: ast.AST, typing_only: bool) -> Iterator[tuple[ast.AST, bool]]:
        yield node, typing_only
        inside = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.iter_child_nodes(node):
            yield from walk(child, typing_only or inside)

    yield from walk(ast.parse(source), typing_only=False)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    return imports_of(path.read_text(), ("", *path.relative_to(PACKAGE).parent.parts))


def imports_at_the_top(path: Path) -> set[str]:
    """What a file imports when it is imported itself."""
    tree = ast.parse(path.read_text())
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.If)], [])
    return {name for name, _ in imports_of(ast.unparse(top), ("", *path.relative_to(PACKAGE).parent.parts))}


def imports_of(source: str, package: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """What a source imports, with its own package's modules as `.room.module`, and whether for the checkers only."""
    for node, typing_only in nodes(source):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, typing_only
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                if node.module:
                    yield ".".join((*base, *node.module.split("."))), typing_only
                else:
                    for alias in node.names:
                        yield ".".join((*base, alias.name)), typing_only
            elif node.module:
                yield node.module, typing_only


@each_file
def test_a_room_imports_only_from_its_own_or_lower_floors(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # the face knows everyone, lazily: test_face.py
    room = room_of(path)
    for name, typing_only in imports(path):
        if not name.startswith(".") or typing_only:
            continue
        other = name.split(".")[1]
        assert other in FLOORS, f"{name} is in no room that is drawn"
        if (room, name) in LATE:
            assert name not in imports_at_the_top(path), f"{room} imports {name} before it is called for"
        elif other != room:
            assert FLOORS[other] <= FLOORS[room], f"{room} reaches up to {name}"
            assert (other, room) not in ROOM_ARROWS, f"{room} and {other} import each other"


ROOM_ARROWS = {
    (room_of(path), name.split(".")[1])
    for path in FILES
    if path != PACKAGE / "__init__.py"
    for name, typing_only in imports(path)
    if name.startswith(".")
    and not typing_only
    and name.split(".")[1] != room_of(path)
    and (room_of(path), name) not in LATE
}


@each_file
def test_nobody_knows_of_the_manners_of_other_clients(path: Path) -> None:
    if room_of(path) != "compat":
        assert not [name for name, _ in imports(path) if name.startswith(".compat")]


def test_no_file_imports_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        module = "." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        graph[module.removesuffix(".__init__")] = {name for name, typing_only in imports(path) if not typing_only}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        for name in graph.get(module, ()):
            visit(name, (*trail, module))

    for module in graph:
        visit(module, ())


@each_file
def test_pure_rooms_do_not_wait(path: Path) -> None:
    if room_of(path) not in PURE:
        return
    for name, _ in imports(path):
        assert name.split(".")[0] not in {"asyncio", "aiohttp", "anyio", "azure", "socket", "ssl", "threading"}, name
    for node, _ in nodes(path.read_text()):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith), "it waits"


@pytest.mark.parametrize("dependency", DEPENDENCIES)
def test_a_dependency_is_known_only_where_it_is_meant_to_be(dependency: str) -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for name, _ in imports(path)
        if name.split(".")[0] == dependency
    }
    assert found == DEPENDENCIES[dependency]


def test_the_reader_of_imports_sees_what_it_should() -> None:
    source = """
from ..net import session
from . import sse
import asyncio
if TYPE_CHECKING:
    import aiohttp
def late():
    from ..net.auth import Secret
"""
    assert list(imports_of(source, ("", "wire"))) == [
        (".net", False),
        (".wire.sse", False),
        ("asyncio", False),
        ("aiohttp", True),
        (".net.auth", False),
    ]
