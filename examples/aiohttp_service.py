"""A chat service on aiohttp: `python examples/aiohttp_service.py`, then
`curl -N -d "How many languages are in the world?" http://127.0.0.1:8000/chat`.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from aiohttp import web

from inference_async import InferenceClient
from inference_async.local import connect

CLIENT = web.AppKey("client", InferenceClient)


async def chat(request: web.Request) -> web.StreamResponse:
    """The answer to the body of the request, as events."""
    async with aclosing(request.app[CLIENT].stream(await request.text()).sse()) as events:
        response = web.StreamResponse(headers={"content-type": events.media_type, **events.headers})
        with suppress(ConnectionError):  # the browser has gone
            await response.prepare(request)
            async for data in events:
                await response.write(data)
    return response


async def client(app: web.Application) -> AsyncGenerator[None, None]:
    """One client for all requests."""
    async with connect(model="mistral-large-2407") as app[CLIENT]:
        yield


app = web.Application()
app.router.add_post("/chat", chat)
app.cleanup_ctx.append(client)

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    # Without handler_cancellation a browser that has gone is noticed by the next write only.
    web.run_app(app, host="127.0.0.1", port=port, handler_cancellation=True, shutdown_timeout=5)
