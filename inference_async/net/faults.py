"""What can go wrong below HTTP, in our words: every exception of aiohttp, asyncio and OpenSSL becomes one of ours."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, PayloadEncodingError

from ..errors import APIConnectionError, ConnectionKind, ConnectTimeoutError, Phase
from .connector import CutError, ProxyError, UnaskedError

__all__ = ["of_read", "of_send"]

_UNKNOWN_ISSUERS: Final = (18, 19, 20, 21)  # OpenSSL's X509_V_ERR_: self-signed, or of an authority it does not have


def of_send(
    error: Exception, *, where: str, host: str | None, secure: bool, connect_timeout: float | None, elapsed: float
) -> APIConnectionError:
    """The error for one that `aiohttp.ClientSession.request` raised.

    Args:
        error: the exception.
        where: host and port, for the message.
        host: the host alone; a name that does not resolve and is not this one is a proxy's.
        secure: whether it was asked over TLS.
        connect_timeout: the limit on connecting, in seconds.
        elapsed: seconds since the call was sent.
    """
    if isinstance(error, TimeoutError) and not _errno(error):
        limit = "" if connect_timeout is None else f" within {connect_timeout:g} s (timeout 'connect')"
        return ConnectTimeoutError(f"no connection to {where}{limit}", phase="connect", elapsed=elapsed)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ServerFingerprintMismatch):
        said = f"the certificate of {where} is not trusted: {_reason(error)}{_advice(error)}"
        return _failed(said, "certificate", "connect")
    of_proxy = isinstance(error, ProxyError | aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError)
    if of_proxy or (isinstance(error, aiohttp.ClientConnectorDNSError) and error.host != host):
        said = f"status {error.status}" if isinstance(error, aiohttp.ClientHttpProxyError) else _reason(error)
        return _failed(f"no connection to {where} through the proxy: {said}", "proxy", "connect")
    if isinstance(error, aiohttp.ClientConnectorError | UnicodeError):
        kind = _kind_of_connecting(error, secure=secure)
        hint = "" if kind == "tls" else "; check the address, and that the server is running"
        return _failed(f"no connection to {where}: {_reason(error)}{hint}", kind, "connect")
    if isinstance(error, UnaskedError):
        return _failed(f"no answer from {where}: {error}", "protocol", "connect")
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        said = " ".join(error.message.split())[:200]
        return _failed(f"got an answer from {where} that is not HTTP: {said}", "protocol", "headers")
    if isinstance(error, CutError):
        how = "the connection was closed " + (
            "in the middle of the answer's head" if error.begun else "before the answer began"
        )
        return _failed(f"no answer from {where}: {how}", "cut", "headers", stale=error.stale, begun=error.begun)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return _failed(f"no answer from {where}: {_reason(error)}", "cut", "headers")
    return _failed(f"no answer from {where}: {_reason(error)}", "other", "headers")


def of_read(error: BaseException | None) -> APIConnectionError:
    """The error for one that came up while a body was read, or for a connection that is gone without a word."""
    if _is_framing(error):
        return _failed("the answer cannot be read on: its framing is not HTTP", "protocol", "body")
    return _failed("the connection was cut before the answer was whole", "cut", "body")


def _advice(error: Exception) -> str:
    """What to do about a certificate, where it is its issuer that is not known: not if it has expired, say."""
    cause = getattr(error, "certificate_error", None)
    if not isinstance(cause, ssl.SSLCertVerificationError) or cause.verify_code not in _UNKNOWN_ISSUERS:
        return ""
    return "; for an authority of your own, make the client with ssl=ssl.create_default_context(cafile=...)"


def _failed(
    message: str, kind: ConnectionKind, phase: Phase, *, stale: bool = False, begun: bool = False
) -> APIConnectionError:
    return APIConnectionError(message, kind=kind, phase=phase, stale=stale, begun=begun)


def _is_framing(error: BaseException | None) -> bool:
    if isinstance(error, aiohttp.ClientPayloadError):
        # The one word by which aiohttp tells a body that ended early from one that is broken; but it says so, too, of
        # trailers that it does not take.
        cause = error.__cause__
        trailers = isinstance(cause, BadHttpMessage) and not isinstance(cause, PayloadEncodingError)
        return trailers or "not completed" not in str(error)
    return isinstance(error, HttpProcessingError)


def _kind_of_connecting(error: Exception, *, secure: bool) -> ConnectionKind:
    cause = getattr(error, "os_error", error)
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        return "connect" if _errno(cause) and not isinstance(cause, socket.gaierror) else "dns"
    if isinstance(cause, ssl.SSLError):
        return "tls"
    # Before the handshake nothing can be reset: the connection is not there yet.
    handshake = isinstance(cause, ConnectionResetError | ConnectionAbortedError) or not _errno(cause)
    return "tls" if secure and handshake else "connect"


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _reason(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLError) and any(word in str(cause) for word in ("WRONG_VERSION", "RECORD_LAYER")):
        return "it does not speak TLS: is it http:// rather than https://?"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | socket.gaierror) and cause.errno:
        return os.strerror(cause.errno).lower()
    return " ".join(str(cause).split())[:200] or type(cause).__name__
