"""Which proxy a call goes through: one that was named, or those of the environment.

aiohttp's own reading of the environment is left off, because it reads ``~/.netrc`` along with it, and would add what it
finds there to a call that has a key.
"""

from __future__ import annotations

import base64
import urllib.request
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError
from ..wire.endpoints import is_loopback
from ..wire.request import Secret

__all__ = ["Proxies", "Proxy"]

_NEVER: Final = "a key over plain http would be read by the proxy, and by whoever listens behind it"


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        url: without the credential.
        authorization: the value of its ``Proxy-Authorization``, if it has a credential.
        is_local: whether it runs on this machine.
    """

    url: str
    authorization: Secret | None
    is_local: bool


class Proxies:
    """The choice of a proxy.

    Args:
        named: the URL of the proxy of all calls; its user and password may be in it.
        trust_env: look at ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``, or what the system has in their place.
            They are read once.

    Raises:
        ConfigurationError: `named` is no URL of an HTTP proxy. The message never quotes it.
    """

    def __init__(self, named: str | None, *, trust_env: bool) -> None:
        self._named = None if named is None else _understood(named, "proxy=")
        self._from_environment = urllib.request.getproxies() if trust_env else {}
        self._known: dict[tuple[str, str], Proxy | None] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self._named is not None or bool(self._from_environment)

    def of(self, url: str, *, secret: bool) -> Proxy | None:
        """The proxy on the way to a URL, or None.

        Args:
            url: where the call goes.
            secret: whether it carries a credential.

        Raises:
            ConfigurationError: the credential would go over plain http to a proxy, or the environment names a proxy
                that cannot be used.
        """
        if not self:
            return None
        scheme, host = (parts := urlsplit(url)).scheme, parts.hostname or ""
        proxy = self._named or self._found(scheme, host)
        if proxy is not None and scheme == "http" and secret and not (proxy.is_local and is_loopback(host)):
            raise ConfigurationError(f"got a proxy and a credential for http://{host}, expected https://: {_NEVER}")
        return proxy

    def _found(self, scheme: str, host: str) -> Proxy | None:
        """The proxy of the environment; never one for this machine, whose name means another to a proxy."""
        key = (scheme, host)
        if key not in self._known:
            url = self._from_environment.get(scheme) or self._from_environment.get("all")
            bypassed = not url or is_loopback(host) or urllib.request.proxy_bypass(host)
            self._known[key] = None if bypassed or not url else _understood(url, f"the environment, for {scheme}://")
        return self._known[key]


def _understood(url: object, where: str) -> Proxy:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"got a proxy from {where} that cannot be read as a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(f"got a proxy from {where} that is not of the form http://[user:password@]host:port")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = Secret("Basic " + base64.b64encode(pair.encode()).decode())
    netloc = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    return Proxy(f"{parts.scheme}://{netloc}", authorization, is_loopback(host))
