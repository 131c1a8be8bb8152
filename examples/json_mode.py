"""JSON mode: the answer is one JSON object. The prompt must say so too, and a cut answer is cut JSON."""

import asyncio
import json

from inference_async import SystemMessage, UserMessage
from inference_async.local import connect


async def main() -> None:
    """Ask for an object."""
    async with connect(model="mistral-large-2407") as client:
        completion = await client.complete(
            [
                SystemMessage('Reply only with a JSON object of the form {"answer": "..."}.'),
                UserMessage("How many languages are in the world?"),
            ],
            response_format="json_object",
        )
    if completion.finish_reason == "length":
        print("the answer is cut, and so is its JSON:", completion.text)
        return
    print(json.loads(completion.text)["answer"])


if __name__ == "__main__":
    asyncio.run(main())
