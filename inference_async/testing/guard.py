"""The switch that forbids real calls: one line in `conftest.py`, and no test run costs money or leaks a prompt."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from ..errors import ConfigurationError
from ..net.detour import DETOUR, TOKENS
from ..wire.endpoints import is_loopback
from .errors import RealCallError

__all__ = ["Prohibition", "forbid_real_calls"]


class Prohibition:
    """A prohibition in force, made by `forbid_real_calls`. Use it in `with`, or `lift` it, if it is to end."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._before = DETOUR.ban
        self._lifted = False
        DETOUR.ban = self._check

    def lift(self) -> None:
        """Allow again what was allowed before it. Any number of times is fine."""
        if not self._lifted:
            self._lifted = True
            DETOUR.ban = self._before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.lift()

    def _check(self, host: str) -> None:
        if is_loopback(host) or host.lower() in self._allowed:
            return
        if host == TOKENS:
            raise RealCallError(
                f"a token of {TOKENS} was about to be asked for, and real calls are forbidden here; pass the client a "
                f'key or a callable that returns any token, or allow it with forbid_real_calls(allow=["{TOKENS}"])'
            )
        raise RealCallError(
            f"a real call to {host} was about to be made, and real calls are forbidden here; point the client at the "
            "fixture inference_emulator, replay a cassette, or name the host in forbid_real_calls(allow=[...])"
        )


def forbid_real_calls(*, allow: Iterable[str] = ()) -> Prohibition:
    """From now on, let no client of this process call any host other than this machine.

    One line in ``conftest.py`` does it for a whole test run; pytest's option ``--forbid-inference`` and the setting
    ``forbid_inference = true`` do the same. A call raises a `RealCallError` that names the host. This covers chats,
    embeddings and any `InferenceClient.request`, over an aiohttp session of your own, too, and tokens that
    azure-identity would fetch. A transport of your own, a token from a callable, and a replay from a cassette are not
    real calls.

    Args:
        allow: hosts that may be called, without port; ``"Microsoft Entra ID"`` lets azure-identity fetch tokens.

    Returns:
        A handle that lifts it; most programs need none.

    Raises:
        ConfigurationError: `allow` is a string instead of a list of hosts.
    """
    if isinstance(allow, str):
        raise ConfigurationError(f"got allow={allow!r}, expected a list of hosts")
    return Prohibition(frozenset(host.lower() for host in allow))
