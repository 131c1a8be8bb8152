"""Credentials of every shape, what becomes of bad ones, and azure-identity's own against a local Entra ID."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import pytest
from azure.identity.aio import ManagedIdentityCredential

from inference_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    CredentialError,
    Endpoint,
    InferenceClient,
)
from inference_async.net.auth import authoriser
from inference_async.wire.request import Secret
from tests.identity import CLIENT_SECRET, VARIABLES, Asked, Entra, Model, challenge

MODELS = Endpoint.parse("https://x.services.ai.azure.com/models")
V1 = Endpoint.parse("https://x.services.ai.azure.com/openai/v1")
GENERIC = Endpoint.parse("https://example.test/v1")
SCOPE = "https://cognitiveservices.azure.com/.default"
CLAIMS = {"access_token": {"nbf": {"essential": True, "value": "1700000000"}}}


@pytest.fixture(autouse=True)
def _no_identity_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def entra(tmp_path: Path) -> AsyncIterator[Entra]:
    async with Entra(tmp_path) as server:
        yield server


class Clock:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Gated:
    """A credential that is let go by hand, and says what it was asked; what it gives out comes from `answers`."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.one_by_one = False  # shut the gate behind each request
        self.ended = 0
        self._answers = list(answers)

    def shut(self) -> None:
        self.arrived.clear()
        self.gate.clear()

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        self.asked.append(options)
        self.arrived.set()
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.one_by_one:
            self.shut()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def shown(error: BaseException) -> str:
    """What a reporter of errors shows: words, causes, and the locals of every frame but this file's."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    link: traceback.TracebackException | None = report
    while link is not None:
        link.stack = traceback.StackSummary.from_list([row for row in link.stack if row.filename != __file__])
        link = link.__cause__ or link.__context__
    return "".join(report.format())


class Token(NamedTuple):
    token: str
    expires_on: float


class Credential:
    """As azure.identity.aio's, with a token that counts."""

    def __init__(self, lives: float = 3600.0) -> None:
        self.scopes: list[str] = []
        self._lives = lives

    async def get_token(self, *scopes: str) -> Token:
        self.scopes.extend(scopes)
        await asyncio.sleep(0.01)
        return Token(f"token-{len(self.scopes)}", time.time() + self._lives)


class Key:
    def __init__(self, key: str) -> None:
        self.key = key


async def test_nothing() -> None:
    assert await authoriser(None, GENERIC).header() is None


@pytest.mark.parametrize(
    ("endpoint", "header"),
    [(MODELS, ("api-key", "k1")), (V1, ("api-key", "k1")), (GENERIC, ("authorization", "Bearer k1"))],
)
async def test_a_key_goes_into_the_header_of_the_endpoint(endpoint: Endpoint, header: tuple[str, str]) -> None:
    assert await authoriser("k1", endpoint).header() == header
    assert await authoriser(Key("k1"), endpoint).header() == header


async def test_a_key_object_is_read_at_each_call() -> None:
    key = Key("k1")
    auth = authoriser(key, MODELS)
    key.key = "k2"
    assert await auth.header() == ("api-key", "k2")
    key.key = "k\n3"
    with pytest.raises(ConfigurationError, match="line break"):
        await auth.header()


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [(MODELS, "https://cognitiveservices.azure.com/.default"), (V1, "https://ai.azure.com/.default")],
)
async def test_a_token_is_asked_for_with_the_scope_of_the_endpoint(endpoint: Endpoint, scope: str) -> None:
    credential = Credential()
    assert await authoriser(credential, endpoint).header() == ("authorization", "Bearer token-1")
    assert credential.scopes == [scope]


async def test_the_scope_can_be_given() -> None:
    credential = Credential()
    await authoriser(credential, GENERIC, scope="mine").header()
    assert credential.scopes == ["mine"]
    with pytest.raises(ConfigurationError, match="say scope="):
        authoriser(credential, GENERIC)


async def test_a_token_is_kept_and_asked_for_once_however_many_wait() -> None:
    credential = Credential()
    auth = authoriser(credential, MODELS)
    headers = await asyncio.gather(*(auth.header() for _ in range(20)))
    assert set(headers) == {("authorization", "Bearer token-1")}
    assert await auth.header() == ("authorization", "Bearer token-1")
    assert len(credential.scopes) == 1


async def refreshed(auth: Any) -> None:
    """Wait for the refresh that the last call has started."""
    await asyncio.wait([auth._refresh])


async def test_a_token_that_never_lives_long_is_not_asked_for_by_every_call() -> None:
    clock = Clock()
    credential = Newer(*(Info(f"t{n}", clock.now + 200 + 30 * n) for n in range(3)))
    auth = authoriser(credential, MODELS, clock=clock)
    for _ in range(3):
        assert await auth.header() == ("authorization", "Bearer t0")
        await asyncio.sleep(0)
    assert len(credential.options) == 1
    clock.now += 30
    await auth.header()
    await refreshed(auth)
    for _ in range(3):
        assert await auth.header() == ("authorization", "Bearer t1")
        await asyncio.sleep(0)
    assert len(credential.options) == 2


async def test_a_blocking_credential_does_not_block_the_loop() -> None:
    threads = []

    class Blocking:
        def get_token(self, *scopes: str) -> Token:
            threads.append(threading.current_thread())
            return Token("sync", time.time() + 3600)

    assert await authoriser(Blocking(), MODELS).header() == ("authorization", "Bearer sync")
    assert threads[0] is not threading.main_thread()


async def test_a_credential_that_fails_is_an_error_of_ours() -> None:
    class Broken:
        async def get_token(self, *scopes: str) -> Token:
            raise RuntimeError("secret inside")

    with pytest.raises(CredentialError, match="Broken gave no token for https://cognitiveservices") as caught:
        await authoriser(Broken(), MODELS).header()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "secret inside" not in str(caught.value)


async def test_providers() -> None:
    async def later() -> str:
        return "t2"

    threads = []

    def blocking() -> str:
        threads.append(threading.current_thread())
        return "t1"

    assert await authoriser(blocking, MODELS).header() == ("authorization", "Bearer t1")
    assert threads[0] is not threading.main_thread(), "a provider that may block does not block the loop"
    assert await authoriser(later, MODELS).header() == ("authorization", "Bearer t2")

    def broken() -> str:
        raise KeyError("x")

    with pytest.raises(CredentialError, match="KeyError"):
        await authoriser(broken, MODELS).header()
    not_text: Any = lambda: 7  # noqa: E731
    with pytest.raises(ConfigurationError, match="token of type int"):
        await authoriser(not_text, MODELS).header()


def test_azure_cores_own_key_credential() -> None:
    from azure.core.credentials import AzureKeyCredential

    auth = authoriser(AzureKeyCredential("k1"), MODELS)
    assert asyncio.run(auth.header()) == ("api-key", "k1")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("abc")
    assert repr(secret) == "'[secret]'"
    assert repr({"api-key": secret}) == "{'api-key': '[secret]'}"
    assert f"{secret}" == "abc"


class Info:
    """As azure-core's `AccessTokenInfo`, whose repr shows the token."""

    def __init__(self, token: object, expires_on: object, refresh_on: object = None) -> None:
        self.token = token
        self.expires_on = expires_on
        self.refresh_on = refresh_on

    def __repr__(self) -> str:
        return f"Info({self.token!r})"


class Newer:
    """A credential with both methods, the newer of which says when to refresh."""

    def __init__(self, *answers: Any) -> None:
        self.options: list[Any] = []
        self._answers = list(answers)

    async def get_token(self, *scopes: str) -> Any:
        raise AssertionError("the newer method is there")

    async def get_token_info(self, *scopes: str, options: dict[str, Any] | None = None) -> Info:
        self.options.append(options)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Info)
        return answer


async def test_a_token_is_replaced_300_seconds_before_its_end() -> None:
    clock = Clock()
    credential = Newer(Info("t1", clock.now + 3600), Info("t2", clock.now + 7200))
    auth = authoriser(credential, MODELS, clock=clock)
    assert await auth.header() == ("authorization", "Bearer t1")
    clock.now += 3299
    assert await auth.header() == ("authorization", "Bearer t1")
    clock.now += 1
    assert await auth.header() == ("authorization", "Bearer t1"), "which is good still: nobody waits"
    await refreshed(auth)
    assert await auth.header() == ("authorization", "Bearer t2")
    assert credential.options == [None, None], "nothing is wanted of a token before the service has challenged one"


@pytest.mark.parametrize(("lives", "refresh_in"), [(3600, 1000), (1300, 1200)], ids=["said", "too late"])
async def test_a_token_is_replaced_when_it_says_so(lives: float, refresh_in: float) -> None:
    clock = Clock()
    first = Info("t1", clock.now + lives, refresh_on=clock.now + refresh_in)
    auth = authoriser(Newer(first, Info("t2", str(clock.now + 7200))), MODELS, clock=clock)
    await auth.header()
    clock.now += 999
    assert await auth.header() == ("authorization", "Bearer t1")
    clock.now += 1
    await auth.header()
    await refreshed(auth)
    assert await auth.header() == ("authorization", "Bearer t2")


async def test_a_refresh_that_fails_does_not_fail_a_call_whose_token_is_good() -> None:
    clock = Clock()
    credential = Newer(Info("t1", clock.now + 3600), *(OSError("down") for _ in range(3)), Info("t2", clock.now + 9999))
    auth = authoriser(credential, MODELS, clock=clock)
    await auth.header()
    clock.now += 3400
    for _ in range(3):
        assert await auth.header() == ("authorization", "Bearer t1")
        await refreshed(auth)
    assert len(credential.options) == 2, "one that has failed is not tried again by every call"
    clock.now += 30
    assert await auth.header() == ("authorization", "Bearer t1")
    await refreshed(auth)
    assert len(credential.options) == 3
    clock.now += 170
    with pytest.raises(CredentialError, match="Newer gave no token for https://cognitiveservices"):
        await auth.header()
    assert await auth.header() == ("authorization", "Bearer t2")


async def test_a_refresh_that_hangs_holds_no_call_whose_token_is_good() -> None:
    clock = Clock()
    credential = Gated(Info("t1", clock.now + 3600), Info("t2", clock.now + 9999))
    credential.gate.set()
    auth = authoriser(credential, MODELS, clock=clock)
    await auth.header()
    credential.shut()
    clock.now += 3400
    for _ in range(3):
        assert await auth.header() == ("authorization", "Bearer t1")
        await credential.arrived.wait()
    assert len(credential.asked) == 2, "one refresh at a time"
    clock.now += 200
    waiting = asyncio.create_task(auth.header())
    await asyncio.sleep(0)
    credential.gate.set()
    assert await waiting == ("authorization", "Bearer t2"), "what the refresh brings is for those that wait too"
    assert len(credential.asked) == 2


async def test_a_refresh_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.auth._GIVE_UP", 0)
    clock = Clock()
    credential = Gated(Info("t1", clock.now + 3600), Info("t2", clock.now + 9999))
    credential.gate.set()
    auth = authoriser(credential, MODELS, clock=clock)
    await auth.header()
    credential.shut()
    clock.now += 3400
    assert await auth.header() == ("authorization", "Bearer t1")
    await refreshed(auth)
    assert credential.ended == len(credential.asked)
    clock.now += 200
    credential.gate.set()
    assert await auth.header() == ("authorization", "Bearer t2"), "the next call asks for its own"


async def test_closing_ends_a_refresh() -> None:
    clock = Clock()
    credential = Gated(Info("t1", clock.now + 3600))
    credential.gate.set()
    auth = authoriser(credential, MODELS, clock=clock)
    await auth.header()
    credential.shut()
    clock.now += 3400
    await auth.header()
    await credential.arrived.wait()
    await auth.aclose()
    assert credential.ended == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await auth.header()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "and none is begun any more"


async def test_a_failure_is_shared_by_all_who_waited_for_it() -> None:
    credential = Gated(KeyError("x"), Token("t1", time.time() + 3600))
    auth = authoriser(credential, MODELS)
    tasks = [asyncio.create_task(auth.header()) for _ in range(5)]
    await credential.arrived.wait()
    credential.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [CredentialError] * 5
    assert len({id(error) for error in errors}) == 5, "each has one of its own"
    assert len(credential.asked) == 1
    assert await auth.header() == ("authorization", "Bearer t1"), "and the next call tries again"


async def test_the_call_that_asks_is_cancelled_and_the_others_are_not() -> None:
    credential = Gated(Token("t1", time.time() + 3600))
    auth = authoriser(credential, MODELS)
    first, *others = [asyncio.create_task(auth.header()) for _ in range(5)]
    await credential.arrived.wait()
    others[1].cancel()
    first.cancel()
    await asyncio.wait([first, others[1]])
    assert first.cancelled()
    assert others.pop(1).cancelled()
    credential.gate.set()
    assert set(await asyncio.gather(*others)) == {("authorization", "Bearer t1")}
    assert len(credential.asked) == credential.ended == 2


async def test_cancellation_leaves_nothing_behind() -> None:
    credential = Gated(Token("t1", time.time() + 3600))
    auth = authoriser(credential, MODELS)
    task = asyncio.create_task(auth.header())
    await credential.arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert credential.ended == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    credential.gate.set()
    assert await auth.header() == ("authorization", "Bearer t1")


async def test_a_credential_that_blocks_does_not_hold_a_call_that_is_cancelled() -> None:
    arrived, gate = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Blocking:
        def get_token(self, *scopes: str) -> Token:
            loop.call_soon_threadsafe(arrived.set)
            gate.wait()
            return Token("sync", time.time() + 3600)

    auth = authoriser(Blocking(), MODELS)
    task = asyncio.create_task(auth.header())
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    gate.set()
    assert await auth.header() == ("authorization", "Bearer sync")


@pytest.mark.parametrize("callable_only", [False, True], ids=["credential", "callable"])
async def test_a_scope_of_anyio_does_not_wait_for_a_credential_that_blocks(callable_only: bool) -> None:
    arrived, gate = asyncio.Event(), threading.Event()
    ended: list[bool] = []
    loop = asyncio.get_running_loop()

    class Blocking:
        def get_token(self, *scopes: str) -> Token:
            loop.call_soon_threadsafe(arrived.set)
            gate.wait(10)
            ended.append(True)
            return Token("sync", time.time() + 3600)

    auth = authoriser((lambda: Blocking().get_token().token) if callable_only else Blocking(), MODELS)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(auth.header)
            await arrived.wait()
            group.cancel_scope.cancel()
        assert not ended
    finally:
        gate.set()


async def test_threads_of_user_code_do_not_starve_a_credential() -> None:
    class Blocking:
        def get_token(self, *scopes: str) -> Token:
            return Token("sync", time.time() + 3600)

    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.acquire_on_behalf_of_nowait(limiter)
    total, limiter.total_tokens = limiter.total_tokens, 1
    try:
        async with asyncio.timeout(10):
            assert await authoriser(Blocking(), MODELS).header() == ("authorization", "Bearer sync")
            assert await authoriser(lambda: "t1", MODELS).header() == ("authorization", "Bearer t1")
    finally:
        limiter.total_tokens = total
        limiter.release_on_behalf_of(limiter)


async def test_a_newer_credential_that_blocks_does_not_block_the_loop() -> None:
    threads = []

    class Blocking:
        def get_token_info(self, *scopes: str, options: dict[str, Any] | None = None) -> Info:
            threads.append(threading.current_thread())
            return Info("sync", time.time() + 3600)

    assert await authoriser(Blocking(), MODELS).header() == ("authorization", "Bearer sync")
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(Info("hidden-1", None), "when it ends", id="no end"),
        pytest.param(Info("hidden-1", float("nan")), "when it ends", id="an end that is no number"),
        pytest.param(Info("hidden-1", "soon"), "when it ends", id="an end in words"),
        pytest.param(Info("hidden-1\n", 1), "line break", id="a line break"),
        pytest.param(Info(b"hidden-1", 1), "token of type bytes", id="bytes"),
        pytest.param("hidden-1", "value of type str, expected one with .token", id="bare text"),
        pytest.param(("hidden-1", 1), "value of type tuple", id="a bare tuple"),
        pytest.param(None, "value of type NoneType", id="nothing"),
    ],
)
async def test_what_is_no_token(token: Any, words: str) -> None:
    class Odd:
        async def get_token(self, *scopes: str) -> Any:
            return token

    with pytest.raises(CredentialError, match=f"the credential Odd gave no token for {SCOPE}: got .*{words}") as caught:
        await authoriser(Odd(), MODELS).header()
    assert "hidden-1" not in shown(caught.value)


@pytest.mark.parametrize("token", [b"hidden-1", "hidden-1\n"], ids=["bytes", "a line break"])
async def test_a_provider_that_gives_nonsense_does_not_show_it(token: Any) -> None:
    def provider() -> Any:
        return token

    with pytest.raises(ConfigurationError, match="got a token") as caught:
        await authoriser(provider, MODELS).header()
    assert "hidden-1" not in shown(caught.value)


# Challenges


async def test_a_challenge_is_met_with_a_token_for_all() -> None:
    clock = Clock()
    far = clock.now + 3600
    credential = Newer(Info("t1", far, refresh_on=1), Info("t2", far), Info("t3", far, refresh_on=1), Info("t4", far))
    auth = authoriser(credential, MODELS, clock=clock)
    await auth.header()
    assert await auth.answer(challenge(CLAIMS), "Bearer t1")
    assert credential.options[1] == {
        "claims": '{"access_token": {"nbf": {"essential": true, "value": "1700000000"}}}'
    } | {"enable_cae": True}
    assert await auth.header() == ("authorization", "Bearer t2")
    assert await auth.answer(challenge(CLAIMS), "Bearer t1"), "sent before the challenge was met"
    assert len(credential.options) == 2
    assert await auth.answer(challenge(CLAIMS | {"more": 1}), "Bearer t1"), "other claims"
    assert len(credential.options) == 3
    clock.now += 30
    await auth.header()
    await refreshed(auth)
    assert await auth.header() == ("authorization", "Bearer t4")
    assert credential.options[3] == {"enable_cae": True}, "it stays a client that can be challenged"


async def test_many_challenges_of_one_token_are_met_by_one_request() -> None:
    far = time.time() + 3600
    credential = Gated(Token("t1", far), Token("t2", far))
    credential.gate.set()
    auth = authoriser(credential, MODELS)
    await auth.header()
    credential.shut()
    tasks = [asyncio.create_task(auth.answer(challenge(CLAIMS), "Bearer t1")) for _ in range(5)]
    await credential.arrived.wait()
    credential.gate.set()
    assert await asyncio.gather(*tasks) == [True] * 5
    assert len(credential.asked) == 2
    assert await auth.header() == ("authorization", "Bearer t2")


async def test_a_challenge_that_comes_during_a_refresh_is_met_after_it() -> None:
    far = time.time() + 3600
    credential = Gated(Token("t1", 0), Token("t2", far), Token("t3", far))
    credential.gate.set()
    auth = authoriser(credential, MODELS)
    await auth.header()
    credential.shut()
    refresh = asyncio.create_task(auth.header())
    await credential.arrived.wait()
    answers = [asyncio.create_task(auth.answer(challenge(CLAIMS), "Bearer t1")) for _ in range(3)]
    await asyncio.sleep(0)
    credential.gate.set()
    assert await refresh == ("authorization", "Bearer t2")
    assert await asyncio.gather(*answers) == [True] * 3
    assert [options.get("enable_cae") for options in credential.asked] == [None, None, True]
    assert await auth.header() == ("authorization", "Bearer t3")


async def test_the_call_that_meets_a_challenge_is_cancelled_and_the_others_are_not() -> None:
    far = time.time() + 3600
    credential = Gated(Token("t1", 0), Token("t2", far), Token("t3", far))
    credential.gate.set()
    auth = authoriser(credential, MODELS)
    await auth.header()
    credential.shut()
    refresh = asyncio.create_task(auth.header())
    await credential.arrived.wait()
    first, *others = [asyncio.create_task(auth.answer(challenge(CLAIMS), "Bearer t1")) for _ in range(3)]
    await asyncio.sleep(0)
    credential.one_by_one = True
    credential.gate.set()
    await refresh
    await credential.arrived.wait()
    first.cancel()
    await asyncio.wait([first])
    credential.gate.set()
    assert await asyncio.gather(*others) == [True] * 2
    assert await auth.header() == ("authorization", "Bearer t3")


async def test_a_challenge_that_cannot_be_met_fails_even_if_the_token_is_good() -> None:
    credential = Newer(Info("t1", time.time() + 3600), OSError("down"))
    auth = authoriser(credential, MODELS)
    await auth.header()
    with pytest.raises(CredentialError, match="gave no token"):
        await auth.answer(challenge(CLAIMS), "Bearer t1")


async def test_a_credential_that_takes_no_claims_meets_no_challenge() -> None:
    class Partly(Credential):
        async def get_token(self, *scopes: str, enable_cae: bool = False) -> Token:
            return await super().get_token(*scopes)

    class Unreadable(Credential):
        @property
        def get_token(self) -> Any:  # what has no signature
            get_token = super().get_token

            class Function:
                __signature__ = "none"

                async def __call__(self, *scopes: str) -> Token:
                    return await get_token(*scopes)

            return Function()

    class Stubborn(Credential):
        async def get_token_info(self, *scopes: str) -> Token:
            return await self.get_token(*scopes)

    for credential in (Credential(), Partly(), Unreadable(), Stubborn()):
        auth = authoriser(credential, MODELS)
        assert await auth.header() == ("authorization", "Bearer token-1")
        assert not await auth.answer(challenge(CLAIMS), "Bearer token-1")
        assert len(credential.scopes) == 1


@pytest.mark.parametrize(
    "credential", [None, "k1", Key("k1"), lambda: "t1"], ids=["nothing", "key", "object", "callable"]
)
async def test_what_meets_no_challenge(credential: Any) -> None:
    auth = authoriser(credential, MODELS)
    header = await auth.header()
    assert not await auth.answer(challenge(CLAIMS), header[1] if header else "")
    await auth.aclose()


# azure-identity's own credentials, real HTTP


def client_of(model: Model, credential: Any, **options: Any) -> InferenceClient:
    return InferenceClient(f"{model.url}/models", credential, model="m", **options)


async def test_fifty_calls_take_one_token(entra: Entra) -> None:
    requests = 0

    class Counted:
        """azure-identity's credential, whose own cache would hide it if each call asked for itself."""

        async def get_token_info(self, *scopes: str, **keywords: Any) -> Any:
            nonlocal requests
            requests += 1
            return await credential.get_token_info(*scopes, **keywords)

    async with Model() as model, entra.credential() as credential, client_of(model, Counted()) as client:
        completions = await asyncio.gather(*(client.complete("Hi") for _ in range(50)))
    assert requests == 1
    assert {completion.text for completion in completions} == {"Hi."}
    assert set(model.bearers) == {"secret-token-1"}
    assert entra.asked == [Asked("client credentials", SCOPE)]


async def test_a_refresh_by_azure_identitys_own_word(entra: Entra) -> None:
    entra.refresh_in = 1000
    clock = Clock()
    clock.now = time.time()
    async with entra.credential() as credential:
        auth = authoriser(credential, MODELS, clock=clock)
        await auth.header()
        credential._client._cache = None  # which goes by the real clock
        clock.now += 990
        assert await auth.header() == ("authorization", "Bearer secret-token-1")
        clock.now += 20
        await auth.header()
        await refreshed(auth)
        assert await auth.header() == ("authorization", "Bearer secret-token-2")


async def test_the_call_that_asks_entra_is_cancelled(entra: Entra) -> None:
    entra.gate = asyncio.Event()
    async with Model() as model, entra.credential() as credential, client_of(model, credential) as client:
        first, *others = [asyncio.create_task(client.complete("Hi")) for _ in range(5)]
        await entra.arrived.wait()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        entra.gate.set()
        assert [completion.text for completion in await asyncio.gather(*others)] == ["Hi."] * 4
    assert len(entra.asked) == 2


async def test_a_wrong_client_secret_is_told_and_not_shown(entra: Entra) -> None:
    entra.broken = True
    async with Model() as model, entra.credential() as credential, client_of(model, credential) as client:
        with pytest.raises(CredentialError) as caught:
            await client.complete("Hi")
    error = caught.value
    assert "the credential ClientSecretCredential gave no token for https://cognitiveservices.azure.com/.def" in str(
        error
    )
    assert "AADSTS7000215: Invalid client secret" in str(error)
    assert "check the identity" in str(error)
    assert "Trace ID" not in str(error), "one line"
    assert type(error.__cause__).__name__ == "ClientAuthenticationError"
    assert model.bearers == []
    assert CLIENT_SECRET not in shown(error)


async def test_a_refresh_that_entra_refuses(entra: Entra) -> None:
    entra.lives = 200
    clock = Clock()
    clock.now = time.time()
    async with entra.credential() as credential:
        auth = authoriser(credential, MODELS, clock=clock)
        await auth.header()
        entra.broken = True
        credential._client._cache = None  # which goes by the real clock
        clock.now += 60
        for _ in range(2):
            assert await auth.header() == ("authorization", "Bearer secret-token-1")
            await refreshed(auth)
    assert len(entra.asked) == 2


async def test_a_claims_challenge_from_end_to_end(entra: Entra) -> None:
    refusal = lambda bearer: challenge(CLAIMS) if bearer == "secret-token-1" else None  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        assert (await client.complete("Hi")).text == "Hi."
        assert (await client.complete("Hi")).text == "Hi."
        assert model.connections == 1
    assert model.bearers == ["secret-token-1", "secret-token-2", "secret-token-2"]
    first, second = entra.asked
    assert first.claims is None
    assert second.claims == {"access_token": CLAIMS["access_token"] | {"xms_cc": {"values": ["CP1"]}}}


async def test_many_calls_meet_one_challenge(entra: Entra) -> None:
    refusal = lambda bearer: challenge(CLAIMS) if bearer == "secret-token-1" else None  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        await asyncio.gather(*(client.complete("Hi") for _ in range(10)))
    assert sorted(model.bearers) == ["secret-token-1"] * 10 + ["secret-token-2"] * 10
    assert len(entra.asked) == 2


async def test_a_stream_meets_a_challenge_too(entra: Entra) -> None:
    refusal = lambda bearer: challenge(CLAIMS) if bearer == "secret-token-1" else None  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        assert (await client.stream("Hi").final()).text == "Hi."
    assert model.bearers == ["secret-token-1", "secret-token-2"]


async def test_a_second_challenge_is_a_refusal(entra: Entra) -> None:
    refusal = lambda bearer: challenge(CLAIMS)  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.complete("Hi")
    assert model.bearers == ["secret-token-1", "secret-token-2"]
    assert "secret-token" not in shown(caught.value)


@pytest.mark.parametrize("refused", ['Bearer error="invalid_token"', "Bearer", '"'])
async def test_a_401_that_is_no_challenge(entra: Entra, refused: str) -> None:
    refusal = lambda bearer: refused  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        with pytest.raises(AuthenticationError):
            await client.complete("Hi")
    assert len(model.bearers) == len(entra.asked) == 1


@pytest.mark.parametrize("credential", ["key-1", lambda: "key-1"], ids=["key", "callable"])
async def test_a_challenge_of_a_key_is_a_refusal(credential: Any) -> None:
    async with Model(lambda bearer: challenge(CLAIMS)) as model, client_of(model, credential) as client:
        with pytest.raises(AuthenticationError):
            await client.complete("Hi")
    assert model.bearers == ["key-1"]


async def test_a_challenge_of_a_token_of_the_callers_own_is_a_refusal(entra: Entra) -> None:
    refusal = lambda bearer: challenge(CLAIMS)  # noqa: E731
    async with Model(refusal) as model, entra.credential() as credential, client_of(model, credential) as client:
        with pytest.raises(AuthenticationError):
            await client.complete("Hi", headers={"Authorization": "Bearer mine"})
    assert model.bearers == ["mine"]
    assert entra.asked == []


async def test_two_clients_ask_for_scopes_of_their_own(entra: Entra) -> None:
    async with (
        Model() as one,
        Model() as other,
        entra.credential() as credential,
        client_of(one, credential) as models,
        InferenceClient(f"{other.url}/openai/v1", credential, model="m", dialect="openai-v1") as v1,
    ):
        await asyncio.gather(models.complete("Hi"), v1.complete("Hi"))
    assert {asked.scope for asked in entra.asked} == {SCOPE, "https://ai.azure.com/.default"}
    assert len({*one.bearers, *other.bearers}) == 2


async def test_a_credential_that_was_given_is_not_closed(entra: Entra) -> None:
    async with Model() as model, entra.credential() as credential:
        for _ in range(2):
            async with client_of(model, credential) as client:
                await client.complete("Hi")
        assert await credential.get_token("another")
    assert len(model.bearers) == 2


@pytest.mark.parametrize("way", ["app service", "imds"])
async def test_a_managed_identity(entra: Entra, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in (entra.app_service if way == "app service" else entra.imds).items():
        monkeypatch.setenv(name, value)
    async with Model() as model, ManagedIdentityCredential() as credential, client_of(model, credential) as client:
        await asyncio.gather(client.complete("Hi"), client.complete("Hi"))
    assert model.bearers == ["secret-token-1"] * 2
    assert entra.asked == [Asked(way, SCOPE.removesuffix("/.default"))]


async def test_a_managed_identity_that_is_not_there(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.broken = True
    for name, value in entra.imds.items():
        monkeypatch.setenv(name, value)
    async with Model() as model, ManagedIdentityCredential() as credential, client_of(model, credential) as client:
        with pytest.raises(
            CredentialError, match=r"ManagedIdentityCredential gave no token for .*; check the identity"
        ):
            await client.complete("Hi")


# The default credential


async def test_the_default_credential_is_made_by_the_first_call_and_closed_by_the_client(
    entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity.aio import DefaultAzureCredential

    for name, value in entra.app_service.items():
        monkeypatch.setenv(name, value)
    life: list[str] = []

    class Watched(DefaultAzureCredential):
        def __init__(self) -> None:
            life.append("made")
            super().__init__()

        async def close(self) -> None:
            life.append("closed")
            await super().close()

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", Watched)
    async with Model() as model, client_of(model, "default") as client:
        assert life == []
        await asyncio.gather(*(client.complete("Hi") for _ in range(5)))
        assert life == ["made"]
    assert life == ["made", "closed"]
    await client.aclose()
    assert life == ["made", "closed"]
    assert entra.asked == [Asked("app service", SCOPE.removesuffix("/.default"))]
    assert model.bearers == ["secret-token-1"] * 5


async def test_the_environment_may_ask_for_the_default_credential(
    entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**entra.app_service, "AZURE_INFERENCE_CREDENTIAL": "default"}.items():
        monkeypatch.setenv(name, value)
    async with Model() as model, client_of(model, None) as client:
        await client.complete("Hi")
    assert model.bearers == ["secret-token-1"]


async def test_closing_ends_the_calls_that_wait_for_a_token(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.gate = asyncio.Event()
    for name, value in entra.app_service.items():
        monkeypatch.setenv(name, value)
    async with Model() as model, client_of(model, "default") as client:
        tasks = [asyncio.create_task(client.complete("Hi")) for _ in range(3)]
        await entra.arrived.wait()
        await client.aclose()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [ClientClosedError] * 3
    assert len(entra.asked) == 1


async def test_a_closed_authoriser_makes_no_credential() -> None:
    auth = authoriser("default", MODELS)
    await auth.aclose()
    with pytest.raises(ClientClosedError):
        await auth.header()
    assert not await auth.answer(challenge(CLAIMS), "Bearer t1")


async def test_the_default_credential_where_there_is_none(
    entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entra.broken = True
    for name, value in {**entra.imds, "PATH": str(tmp_path), "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    async with Model() as model, client_of(model, "default") as client:
        with pytest.raises(CredentialError, match="DefaultAzureCredential gave no token for https://cog") as caught:
            await client.complete("Hi")
    message = str(caught.value)
    assert "DefaultAzureCredential failed to retrieve a token from the included credentials" in message
    assert "az login" in message
    assert "\n" not in message
    assert "Attempted credentials" in str(caught.value.__cause__)


async def test_azure_identity_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    with pytest.raises(CredentialError, match="pip install azure-identity") as caught:
        await authoriser("default", MODELS).header()
    assert isinstance(caught.value.__cause__, ImportError)


def test_the_default_credential_needs_a_scope() -> None:
    with pytest.raises(ConfigurationError, match="say scope="):
        authoriser("default", GENERIC)


PROGRAM = """
import asyncio, sys
from inference_async import InferenceClient

async def main(url):
    async with InferenceClient(url, "key-1", model="m") as client:
        await client.complete("Hi")
    assert not [name for name in sys.modules if name.partition(".")[0] in ("azure", "msal")]
    async with InferenceClient(url, "default", model="m") as client:
        assert "azure" not in sys.modules
        await client.complete("Hi")
    assert "azure.identity" in sys.modules

asyncio.run(main(sys.argv[1]))
"""


async def test_the_default_credential_from_the_environment_in_a_program_of_its_own(entra: Entra) -> None:
    environment = {**os.environ, **entra.service_principal, "SSL_CERT_FILE": str(entra.ca)}
    async with Model() as model:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", PROGRAM, f"{model.url}/models"),
            cwd=Path(__file__).parent.parent.parent,
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert b"ResourceWarning" not in said
    assert b"Unclosed" not in said
    assert model.bearers == ["key-1", "secret-token-1"]
    assert entra.asked == [Asked("client credentials", SCOPE)]
