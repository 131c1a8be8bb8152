"""A whole answer, with a system message: what it says, why it ended, and what it cost."""

import asyncio

from inference_async import SystemMessage, UserMessage
from inference_async.local import connect


async def main() -> None:
    """Ask one question."""
    async with connect(model="mistral-large-2407") as client:
        completion = await client.complete(
            [
                SystemMessage("You answer briefly and to the point."),
                UserMessage("How many languages are in the world?"),
            ],
            temperature=0,
            max_tokens=2048,
        )
    print(completion.text)
    print("finish reason:", completion.finish_reason)
    if completion.usage is not None:
        print("tokens:", completion.usage.total_tokens)


if __name__ == "__main__":
    asyncio.run(main())
