"""What the transport knows of an answer: status, request id, headers, and what the headers say of the quota."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..errors import InvalidResponseError

__all__ = ["RateLimits", "RawResponse", "ResponseMeta"]

_STEP: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST: Final = 32  # characters of a number or a duration; what is longer is neither


class RateLimits(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True, gc=False):
    """What is left of the quota, as the ``x-ratelimit-...`` headers tell it: each None where they say nothing usable.

    Azure often sends only what remains, and sends -1 or 0 for limits it does not know; those count as nothing.

    Attributes:
        limit_requests, limit_tokens: how many the window allows.
        remaining_requests, remaining_tokens: how many of them are left.
        reset_requests, reset_tokens: seconds until the window begins anew.
    """

    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    reset_requests: float | None = None
    reset_tokens: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimits:
        """Read the headers of an answer or of an error, names in lower case. What makes no sense is passed over."""

        def count(name: str, least: int) -> int | None:
            text = headers.get(f"x-ratelimit-{name}", "").strip()
            # At least one digit, and no more than a sane number has.
            if not text.isascii() or not text.isdigit() or len(text) > _LONGEST:
                return None
            return int(text) if int(text) >= least else None

        return cls(
            limit_requests=count("limit-requests", 1),
            limit_tokens=count("limit-tokens", 1),
            remaining_requests=count("remaining-requests", 0),
            remaining_tokens=count("remaining-tokens", 0),
            reset_requests=_seconds(headers.get("x-ratelimit-reset-requests", "")),
            reset_tokens=_seconds(headers.get("x-ratelimit-reset-tokens", "")),
        )


def _seconds(text: str) -> float | None:
    """A duration such as ``17ms``, ``6m0s``, ``1h2m3s``, or bare seconds."""
    text = text.strip().lower()
    if not text or len(text) > _LONGEST or not text.isascii():
        return None
    steps = _STEP.findall(text)
    if steps and "".join(number + unit for number, unit in steps) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in steps)
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


class ResponseMeta(msgspec.Struct, kw_only=True, repr_omit_defaults=True, gc=False):
    """What the transport knows of an answer.

    Attributes:
        status: the HTTP status.
        request_id: the service's id of the request, or the client's own where the service sent none.
        client_request_id: the id this client sent, one per call.
        headers: all headers of the answer, names in lower case.
        attempts: how many requests were sent for it: 1, unless it was sent again.
        elapsed: seconds from the call to the end of the answer (of a stream: to its headers).
    """

    status: int = 0
    request_id: str | None = None
    client_request_id: str | None = None
    headers: dict[str, str] = {}
    attempts: int = 0
    elapsed: float = 0.0

    def __repr__(self) -> str:
        # Without the headers, which would drown everything else.
        return f"{type(self).__name__}(status={self.status}, request_id={self.request_id!r})"

    @property
    def rate_limits(self) -> RateLimits:
        """What the headers say of the quota."""
        return RateLimits.from_headers(self.headers)

    @property
    def region(self) -> str | None:
        """The region that answered, where the service says so."""
        return self.headers.get("x-ms-region")

    @property
    def deployment(self) -> str | None:
        """The deployment that answered, where the service says so; another than the one asked after a spillover."""
        return self.headers.get("x-ms-deployment-name")


class RawResponse(msgspec.Struct, kw_only=True, repr_omit_defaults=True):
    """An answer as it came, to a request that this package knows nothing of.

    Attributes:
        body: the whole body.
        meta: status, headers, request id.
    """

    body: bytes
    meta: ResponseMeta

    @property
    def status(self) -> int:
        """The HTTP status: one from 200 to 299."""
        return self.meta.status

    @property
    def text(self) -> str:
        """The body as UTF-8, with what is none replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as plain objects.

        Raises:
            InvalidResponseError: it is no JSON.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidResponseError(
                f"got {self.status} with a body that is not JSON: {error}",
                status=self.status,
                body=self.text[:2048],
                request_id=self.meta.request_id,
            ) from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}, {len(self.body):,} bytes>"
