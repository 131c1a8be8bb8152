"""An answer as it is made, then the whole of it: message, usage and finish reason come from the same stream."""

import asyncio

from inference_async import IncompleteStreamError
from inference_async.local import connect


async def main() -> None:
    """Stream one answer."""
    async with (
        connect(model="mistral-large-2407") as client,
        client.stream("How many languages are in the world?", temperature=0, max_tokens=2048) as stream,
    ):
        try:
            async for text in stream.text():
                print(text, end="", flush=True)
        except IncompleteStreamError as error:
            print(f"\n[cut: {error}]")
            return
        print()
        print("finish reason:", stream.completion.finish_reason)
        if stream.usage is not None:
            print("tokens:", stream.usage.total_tokens)


if __name__ == "__main__":
    asyncio.run(main())
