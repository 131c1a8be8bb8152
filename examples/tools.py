"""Tools: typed functions that the model calls, run until it answers."""

import asyncio

from inference_async import AnswerChunk, SystemMessage, ToolFinished, UserMessage, tool
from inference_async.local import connect
from inference_async.types import Message


@tool
async def get_flight_info(origin_city: str, destination_city: str) -> dict[str, str]:
    """Looks up the next flight between two cities: airline, flight number, date and time.

    Args:
        origin_city: City of departure.
        destination_city: City of arrival.
    """
    return {"info": f"No flight from {origin_city} to {destination_city} today. The train leaves at 09:40."}


async def main() -> None:
    """Ask for a flight."""
    messages: list[Message] = [
        SystemMessage("You help people find their way from one place to another, and you care about the climate."),
        UserMessage("When does the next flight leave from Miami to Seattle?"),
    ]
    async with (
        connect(model="mistral-large-2407") as client,
        client.run_tools(messages, tools=[get_flight_info], stream=True) as run,
    ):
        async for event in run:
            match event:
                case AnswerChunk(chunk=chunk):
                    print(chunk.text, end="", flush=True)
                case ToolFinished(call=call, message=message):
                    print("called", call.function.name, call.function.arguments, "->", message.content)
                case _:
                    pass
    print(f"\nanswers: {run.turns}, tokens: {run.usage.total_tokens if run.usage else 'not told'}")


if __name__ == "__main__":
    asyncio.run(main())
