"""Proxies: which one is chosen, what is refused, and what they get to see."""

from __future__ import annotations

import base64
import ssl

import pytest
import trustme

from inference_async import APIConnectionError, ConfigurationError
from inference_async.net.aiohttp import AiohttpTransport
from inference_async.net.proxies import Proxies
from tests.net.peer import WHOLE, Line, Peer, call

PAIR = base64.b64encode(b"user:pass:word").decode()


@pytest.fixture(autouse=True)
def _no_proxies_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_environment_is_read_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inner.example")
    assert Proxies(None, trust_env=False).of("https://a.example/", secret=True) is None
    proxies = Proxies(None, trust_env=True)
    found = proxies.of("https://a.example/", secret=True)
    assert found is not None
    assert found.url == "http://proxy.example:3128"
    for url in ("https://inner.example/", "https://localhost/", "https://127.0.0.1/", "http://a.example/"):
        assert proxies.of(url, secret=True) is None


def test_a_named_one_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:3128")
    found = Proxies("http://us%65r:pass%3Aword@[::1]:8080/", trust_env=True).of("https://a.example/", secret=True)
    assert found is not None
    assert found.url == "http://[::1]:8080"
    assert found.authorization == f"Basic {PAIR}"
    assert PAIR not in repr(found)


@pytest.mark.parametrize(
    "url", ["socks5://s3cret@host:1", "host:1", "http://", "http://s3cret@h:1/path", "http://s3cret@h:x"]
)
def test_what_is_no_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AiohttpTransport(proxy=url)
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="the environment, for https") as caught:
        Proxies(None, trust_env=True).of("https://a.example/", secret=False)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "url", "allowed"),
    [
        ("http://proxy.example:1", "http://a.example/", False),
        ("http://127.0.0.1:1", "http://a.example/", False),
        ("http://proxy.example:1", "http://localhost/", False),
        ("http://localhost:1", "http://localhost/", True),
        ("http://proxy.example:1", "https://a.example/", True),
    ],
)
def test_a_key_over_plain_http_through_a_proxy_is_refused(proxy: str, url: str, allowed: bool) -> None:
    proxies = Proxies(proxy, trust_env=False)
    assert proxies.of(url, secret=False) is not None
    if allowed:
        assert proxies.of(url, secret=True) is not None
    else:
        with pytest.raises(ConfigurationError, match="expected https://"):
            proxies.of(url, secret=True)


async def test_through_a_tunnel_the_proxy_sees_its_own_password_and_not_the_key() -> None:
    authority = trustme.CA()
    served, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(served)
    authority.configure_trust(trusting)
    heads: list[bytes] = []

    async def act(line: Line) -> None:
        heads.append(await line.request())
        await line.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await line.writer.start_tls(served)
        heads.append(await line.request())
        await line.say(WHOLE)
        heads.append(await line.request())
        await line.say(WHOLE)

    async with Peer(act) as peer:
        transport = AiohttpTransport(ssl=trusting, proxy=f"http://user:pass%3Aword@127.0.0.1:{peer.port}")
        for _ in range(2):
            reply = await transport.send(call("https://localhost:1/v1", key="the-key"), connect_timeout=5)
            assert await reply.read() == b"{}"
            assert await reply.read() == b""
        await transport.aclose()
    assert len(peer.lines) == 1
    tunnel, *requests = heads
    assert tunnel.startswith(b"CONNECT localhost:1 ")
    assert PAIR.encode() in tunnel
    assert b"the-key" not in tunnel
    for request in requests:
        assert b"the-key" in request
        assert b"roxy" not in request


async def test_plain_http_through_a_proxy_of_this_machine() -> None:
    heads: list[bytes] = []

    async def act(line: Line) -> None:
        heads.append(await line.request())
        await line.say(WHOLE)

    async with Peer(act) as peer:
        transport = AiohttpTransport(proxy=f"http://user:pass%3Aword@127.0.0.1:{peer.port}")
        reply = await transport.send(call("http://localhost:1/v1", key="the-key"), connect_timeout=5)
        assert await reply.read() == b"{}"
        await transport.aclose()
    assert heads[0].startswith(b"POST http://localhost:1/v1 ")
    assert PAIR.encode() in heads[0]


REFUSALS = {
    "a status": (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "status 407"),
    "no HTTP": (b"nonsense\r\n\r\n", "not HTTP"),
    "nothing": (b"", "closed the connection"),
}


@pytest.mark.parametrize(("said", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_refuses(said: bytes, words: str) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.say(said)

    async with Peer(act) as peer:
        transport = AiohttpTransport(proxy=f"http://user:s3cret@127.0.0.1:{peer.port}")
        with pytest.raises(APIConnectionError, match=words) as caught:
            await transport.send(call("https://localhost:1/v1", key="the-key"), connect_timeout=5)
        await transport.aclose()
    assert (caught.value.kind, caught.value.phase) == ("proxy", "connect")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-proxy.invalid"])
async def test_a_proxy_that_is_not_there(host: str) -> None:
    transport = AiohttpTransport(proxy=f"http://user:s3cret@{host}:1")
    with pytest.raises(APIConnectionError, match="through the proxy") as caught:
        await transport.send(call("https://localhost:1/v1", key="the-key"), connect_timeout=5)
    await transport.aclose()
    assert (caught.value.kind, caught.value.phase) == ("proxy", "connect")
