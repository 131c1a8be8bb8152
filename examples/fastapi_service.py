"""A chat service on FastAPI: `python examples/fastapi_service.py`, then
`curl -N --json '{"question": "How many languages are in the world?"}' http://127.0.0.1:8000/chat`.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

from inference_async import InferenceClient
from inference_async.local import connect
from inference_async.sse import SSEStream


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, InferenceClient], None]:
    """One client for all requests."""
    async with connect(model="mistral-large-2407") as client:
        yield {"client": client}


async def answer(request: Request, question: Annotated[str, Body(embed=True)]) -> AsyncGenerator[SSEStream, None]:
    """The answer to a question, closed whatever becomes of the response."""
    async with aclosing(request.state.client.stream(question).sse()) as events:
        yield events


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(events: Annotated[SSEStream, Depends(answer)]) -> StreamingResponse:
    """The answer, as events."""
    return StreamingResponse(events, headers=events.headers, media_type=events.media_type)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=5)
