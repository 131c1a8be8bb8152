"""What stands between clients and the network: nothing, unless a test puts it there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inference_async.net.detour import DETOUR, Detour


class Own:
    def get_token(self, *scopes: str) -> None: ...


def test_there_is_nothing_as_a_rule() -> None:
    assert (DETOUR.ban, DETOUR.tape) == (None, None)


def azures() -> object:
    from azure.identity import AzureCliCredential

    return AzureCliCredential()


@pytest.mark.parametrize(
    ("credential", "asks"), [(lambda: None, True), (azures, True), (Own, False), (lambda: Own().get_token, False)]
)
def test_whose_tokens_are_real(credential: Callable[[], object], asks: bool) -> None:
    told: list[str] = []
    detour = Detour()
    detour.check_tokens_of(credential())
    detour.ban = told.append
    detour.check_tokens_of(credential())
    assert told == ["Microsoft Entra ID"] * asks
