"""Files of the caller's: read in a thread, within a bound, refused in words."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from inference_async.errors import ConfigurationError
from inference_async.net.files import read


def itself(data: bytes) -> bytes:
    return data


async def whole(path: Any, *, max_bytes: int = 100) -> bytes:
    return await read(path, max_bytes=max_bytes, then=itself)


@pytest.mark.parametrize("kind", [str, Path], ids=["text", "Path"])
async def test_a_file(tmp_path: Path, kind: type[Any]) -> None:
    file = tmp_path / "a file é.bin"
    file.write_bytes(b"\0\xff\r\n")
    assert await whole(kind(file)) == b"\0\xff\r\n"


async def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert await whole(tmp_path / "a", max_bytes=0) == b""


async def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert await whole(tmp_path / "b") == b"a"


async def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    assert await whole("a") == b"a"


async def test_what_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert await read(tmp_path / "a", max_bytes=3, then=len) == 3


@pytest.mark.parametrize(
    ("size", "bound", "fits"), [(9, 10, True), (10, 10, True), (11, 10, False), (5000, 10, False), (1, 0, False)]
)
async def test_the_bound_is_exact(tmp_path: Path, size: int, bound: int, fits: bool) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(bytes(size))
    if fits:
        assert len(await whole(file, max_bytes=bound)) == size
    else:
        with pytest.raises(ConfigurationError, match=rf"a\.bin' is over {bound} bytes; max_bytes= sets the bound"):
            await whole(file, max_bytes=bound)


async def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="a device or a pipe, expected a file"):
        await read(tmp_path / "pipe", max_bytes=10, then=bytes)


async def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.png' cannot be read: no such file") as caught:
        await whole(tmp_path / "missing.png")
    assert caught.value.__suppress_context__


async def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: is a directory"):
        await whole(tmp_path)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000], ids=["empty", "null", "too long"])
async def test_a_path_that_names_no_file(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await whole(path)


class BytesPath(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"a.png"


@pytest.mark.parametrize(
    "path", [5, None, b"a.png", ["a.png"], BytesPath()], ids=["int", "None", "bytes", "list", "a path of bytes"]
)
async def test_a_path_that_is_no_path(path: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected text or a pathlib\.Path"):
        await whole(path)


async def test_what_refuses_it_is_told_the_file(tmp_path: Path) -> None:
    def refuse(data: bytes) -> bytes:
        raise ConfigurationError("got a tiger, expected a cat")

    (tmp_path / "cat.png").touch()
    with pytest.raises(ConfigurationError, match=r"the file '.*cat\.png': got a tiger, expected a cat$"):
        await read(tmp_path / "cat.png", max_bytes=1, then=refuse)


async def test_reading_and_making_happen_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, int] = {}
    original = Path.open

    def recorded(self: Path, *args: Any, **options: Any) -> Any:
        threads["open"] = threading.get_ident()
        return original(self, *args, **options)

    def made(data: bytes) -> bytes:
        threads["then"] = threading.get_ident()
        return data

    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(Path, "open", recorded)
    assert await read(tmp_path / "a", max_bytes=1, then=made) == b"a"
    assert set(threads) == {"open", "then"}
    assert threading.get_ident() not in threads.values()


async def test_the_loop_goes_on_while_a_file_is_slow(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    go_on = threading.Event()

    def slow(data: bytes) -> bytes:
        assert go_on.wait(5)
        return data

    reading = asyncio.ensure_future(read(tmp_path / "a", max_bytes=1, then=slow))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not reading.done()
    go_on.set()
    assert await reading == b"a"


async def test_cancelling_does_not_wait_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    begun, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(data: bytes) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(5)
        ended.set()
        return data

    reading = asyncio.ensure_future(read(tmp_path / "a", max_bytes=1, then=slow))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not ended.is_set()
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_cancel_scope_does_not_wait_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    go_on, ended = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    with anyio.CancelScope() as scope:

        def slow(data: bytes) -> bytes:
            loop.call_soon_threadsafe(scope.cancel)
            go_on.wait(5)
            ended.set()
            return data

        await read(tmp_path / "a", max_bytes=1, then=slow)
    assert scope.cancelled_caught
    assert not ended.is_set()
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 5)
