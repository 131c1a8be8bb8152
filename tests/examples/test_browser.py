"""The page of `examples/web_service`, in a browser without a window."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.examples.serving import process
from tests.support import DONE, STREAM_HEAD, Connection, RawServer, chunk, event, json_reply

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="neither chromium nor chromedriver is installed")


class Page:
    """The page, as its reader sees it."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def ask(self, question: str) -> None:
        self.browser.find_element(By.ID, "question").send_keys(question, Keys.ENTER)

    def press(self, name: str) -> None:
        self.until(lambda: self.button.text == name)
        self.button.click()

    @property
    def button(self) -> WebElement:
        return self.browser.find_element(By.ID, "send")

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Who said what; one look, for the page goes on meanwhile."""
        script = "return [...document.querySelectorAll('#said p')].map((p) => [p.className, p.textContent])"
        return [(kind, text) for kind, text in self.browser.execute_script(script) if kind != "hint"]

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, 20, poll_frequency=0.02).until(lambda _: condition(), str(self.lines))


class Model:
    """A model that says what the test lets it say, when the test lets it; it lives in a thread.

    Attributes:
        open: how many answers are under way.
    """

    def __init__(self) -> None:
        self.open = 0
        self._loop = asyncio.new_event_loop()
        self._says: asyncio.Queue[bytes] = asyncio.Queue()
        self._server = RawServer(self._answer)
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._server.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._server.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def asked(self) -> list[dict[str, str]]:
        """The messages of the last request."""
        messages: list[dict[str, str]] = json.loads(self._server.requests[-1][1])["messages"]
        return messages

    def say(self, *pieces: bytes) -> None:
        """Bytes of answers, one piece at a time; an empty one cuts the connection."""
        for piece in pieces:
            self._loop.call_soon_threadsafe(self._says.put_nowait, piece)

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=20)

    async def _answer(self, connection: Connection) -> bool:
        self.open += 1
        try:
            while piece := await self._says.get():
                await connection.send(piece)
                if piece.endswith(END):
                    return True
            return False
        finally:
            self.open -= 1


END = b"0\r\n\r\n"


def framed(*events: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(data), data) for data in events]


def answer(*texts: str) -> list[bytes]:
    """A whole answer."""
    return [STREAM_HEAD, *framed(*(event(chunk(text)) for text in texts), event(chunk("", "stop")) + DONE), END]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=900,640"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Model]]:
    """The service, started as anybody would, and the model that it asks."""
    with (
        Model() as model,
        process("web_service/app.py", AZURE_INFERENCE_ENDPOINT=f"{model.url}/v1", AZURE_INFERENCE_CREDENTIAL="") as url,
    ):
        yield url, model


@pytest.fixture
def model(served: tuple[str, Model]) -> Model:
    return served[1]


@pytest.fixture
def page(served: tuple[str, Model], browser: webdriver.Chrome) -> Iterator[Page]:
    browser.get(served[0])
    yield Page(browser)
    browser.get("about:blank")
    log: Callable[[str], list[dict[str, Any]]] = browser.get_log  # which has no types
    assert [entry["message"] for entry in log("browser") if entry["level"] == "SEVERE"] == []


def test_an_answer_streams_into_the_page(page: Page, model: Model) -> None:
    page.ask("How many languages are in the world?")
    page.until(lambda: model.open)
    head, first, *rest = answer("About ", "7,000 <b>languages</b>", " \u2013 \u2018äöü\u2019.")
    model.say(head, first)
    page.until(lambda: page.lines[1:] == [("assistant open", "About ")])
    assert page.button.text == "Stop"
    model.say(*rest)
    page.until(lambda: page.button.text == "Ask")
    assert page.lines == [
        ("user", "How many languages are in the world?"),
        ("assistant", "About 7,000 <b>languages</b> \u2013 \u2018äöü\u2019."),
    ]


def test_the_next_question_goes_with_what_was_said(page: Page, model: Model) -> None:
    model.say(*answer("Oslo."), *answer("717,000."))
    page.ask("The largest city of Norway?")
    page.until(lambda: page.lines[1:] == [("assistant", "Oslo.")])
    page.ask("How many people live there?")
    page.until(lambda: page.lines[3:] == [("assistant", "717,000.")])
    assert [(said["role"], said["content"]) for said in model.asked[1:]] == [
        ("user", "The largest city of Norway?"),
        ("assistant", "Oslo."),
        ("user", "How many people live there?"),
    ]


@pytest.mark.parametrize("first", [False, True], ids=["before-the-first-token", "later"])
@pytest.mark.parametrize("how", ["stop", "leave", "close"])
def test_who_goes_stops_the_model(page: Page, model: Model, how: str, *, first: bool) -> None:
    browser = page.browser
    if how == "close":
        url, home = browser.current_url, browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.get(url)
    page.ask("How many languages are in the world?")
    page.until(lambda: model.open)
    if first:
        model.say(*answer("About ")[:2])
        page.until(lambda: ("assistant open", "About ") in page.lines)
    if how == "stop":
        page.press("Stop")
        page.until(lambda: page.lines[-1] == ("note", "Stopped."))
        assert page.button.text == "Ask"
    elif how == "leave":
        browser.get("about:blank")
    else:
        browser.close()
        browser.switch_to.window(home)
    page.until(lambda: not model.open)


def test_a_refusal_is_shown_and_the_question_is_there_to_be_asked_again(page: Page, model: Model) -> None:
    model.say(json_reply({"error": {"code": "unauthorized", "message": "the key of NAME is wrong"}}, "401 No"), b"")
    page.ask("How many languages are in the world?")
    page.until(lambda: page.lines[1:] == [("note error", "AuthenticationError: the request failed")])
    assert page.browser.find_element(By.ID, "question").get_property("value") == "How many languages are in the world?"


def test_an_answer_that_is_cut_says_so_beside_what_had_come(page: Page, model: Model) -> None:
    model.say(*answer("About ")[:2], b"")
    page.ask("How many languages are in the world?")
    page.until(lambda: page.button.text == "Ask" and len(page.lines) == 3)
    assert page.lines[1:] == [
        ("assistant", "About "),
        ("note error", "IncompleteStreamError: the answer broke off; try again"),
    ]


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        ("length", [("assistant", "About "), ("note", "The answer reached its limit of tokens.")]),
        ("content_filter", [("note", "Content safety took the answer back.")]),
    ],
)
def test_an_early_end_says_why(page: Page, model: Model, reason: str, lines: list[tuple[str, str]]) -> None:
    model.say(STREAM_HEAD, *framed(event(chunk("About ")), event(chunk("", reason)) + DONE), END)
    page.ask("How many languages are in the world?")
    page.until(lambda: page.button.text == "Ask" and page.lines[1:] == lines)
