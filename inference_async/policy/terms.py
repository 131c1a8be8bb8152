"""What a call is given: its time, its bounds, its retries."""

from __future__ import annotations

import msgspec

from .limits import Limits
from .retry import RetryPolicy
from .timeouts import Timeouts

__all__ = ["Terms"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms on which a call is sent: the client's, where the call does not bring its own."""

    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    retries: RetryPolicy = RetryPolicy()
