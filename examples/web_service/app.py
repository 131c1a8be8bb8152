"""A chat in the browser: `python examples/web_service/app.py`, then http://127.0.0.1:8000.

The answer streams into the page as server-sent events. When the browser leaves, or its reader presses Stop, the call to
the model is cut, before the first token too. When the call fails, the page says so, in the stream.
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from inference_async import InferenceClient, InferenceError, SystemMessage
from inference_async.local import connect
from inference_async.sse import SSEStream

PAGE = Path(__file__).with_name("page")
SYSTEM = SystemMessage("You answer briefly and to the point.")
MOST_BYTES = 256 * 1024  # of a question with all that was said before it
log = logging.getLogger("uvicorn.error")


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the conversation; the page keeps it, so that this service keeps nothing."""

    role: Literal["user", "assistant"]
    content: str


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """What the page sends."""

    messages: Annotated[list[Said], msgspec.Meta(min_length=1, max_length=200)]


class State(TypedDict):
    """What lives as long as the service."""

    client: InferenceClient


class EventResponse(StreamingResponse):
    """A response that closes its stream whatever ends it; Starlette alone leaves that to the garbage collector."""

    def __init__(self, events: SSEStream) -> None:
        super().__init__(events, headers=events.headers, media_type=events.media_type)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


async def chat(request: Request[State]) -> Response:
    """The answer to a question, as events."""
    if request.headers.get("content-type") != "application/json":  # which no other site's page can send
        return Response("expected JSON\n", 415)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return Response("the conversation is too long\n", 413)
    try:
        question = msgspec.json.decode(body, type=Question)
    except msgspec.DecodeError as error:
        return Response(f"{error}\n", 400)
    messages = [SYSTEM, *(msgspec.to_builtins(said) for said in question.messages)]
    stream = request.state["client"].stream(messages, max_tokens=2048)
    return EventResponse(stream.sse(keep_alive=10, on_error=report))


def report(error: InferenceError) -> None:
    """The page is told what kind of error it is; the rest is for the log."""
    log.warning("%s: %s (request id %s)", type(error).__name__, error, error.request_id)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[State, None]:
    """One client for all requests."""
    async with connect(model="mistral-large-2407") as client:
        yield {"client": client}


app = Starlette(
    routes=[Route("/chat", chat, methods=["POST"]), Mount("/", StaticFiles(directory=PAGE, html=True))],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=5)
