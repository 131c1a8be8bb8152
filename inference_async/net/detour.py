"""What tests put between the clients of this process and the network: a ban on real calls, and a tape.

`testing/` sets both; here is only where they stand, so that nothing below has to know of it. A program that is not
being tested has neither, and pays one look at an attribute for each request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ..wire.request import Call
from .transport import Reply

__all__ = ["DETOUR", "TOKENS", "Ban", "Detour", "Onward", "Tape"]

TOKENS: Final = "Microsoft Entra ID"
"""What a ban is told of where a token is about to be asked for, rather than a host."""

Ban: TypeAlias = Callable[[str], None]
"""Told the host that is about to be asked, or the service behind a credential; raises if that is forbidden."""

Onward: TypeAlias = Callable[[Call], Awaitable[Reply]]
"""Asks the network."""

Tape: TypeAlias = Callable[[Call, Onward], Awaitable[Reply]]
"""Answers a call in place of the network, or asks it and keeps the answer."""


class Detour:
    """The way of all calls of this process.

    Attributes:
        ban: looked at last before a connection is made, or a token asked for.
        tape: asked before that.
    """

    __slots__ = ("ban", "tape")

    def __init__(self) -> None:
        self.ban: Ban | None = None
        self.tape: Tape | None = None

    def check_tokens_of(self, credential: object) -> None:
        """Raise if a ban is in force and this credential, None for azure-identity's default one, asks a real service.

        A callable or an object of the caller's own is let through: tests hand over such as stand-ins.
        """
        if self.ban is None:
            return
        if credential is None or str(getattr(credential, "__module__", "")).startswith("azure.identity"):
            self.ban(TOKENS)


DETOUR: Final = Detour()
