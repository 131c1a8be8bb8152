"""A cheap server in a process of its own: one prepared stream, written as fast as it is read or a chunk at a time.

``python -m benchmarks.server CHUNKS coalesced|paced`` prints its port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    head = {"id": "chatcmpl-0123456789abcdef0123456789", "object": "chat.completion.chunk", "created": 1718726371}
    return b"data: " + json.dumps(head | {"model": "mistral-large-2407", "choices": [choice]}).encode() + b"\n\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(chunks: int, *, paced: bool) -> None:
    one = http_chunk(event({"content": " world"}))
    end = http_chunk(event({}, "stop") + b"data: [DONE]\n\n") + b"0\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(HEAD)
            for _ in range(chunks if paced else chunks // 100):
                writer.write(one if paced else one * 100)
                await writer.drain()
                if paced:
                    await asyncio.sleep(0.0001)
            writer.write(end)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), paced=sys.argv[2] == "paced"))
