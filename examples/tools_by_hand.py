"""A tool by hand, both turns: the model asks for a call, the program makes it, the model answers with the result."""

import asyncio
import json

from inference_async import FunctionDefinition, SystemMessage, ToolDefinition, ToolMessage, UserMessage
from inference_async.local import connect
from inference_async.types import Message

FLIGHTS = ToolDefinition(
    FunctionDefinition(
        name="get_flight_info",
        description="Looks up the next flight between two cities: airline, flight number, date and time.",
        parameters={
            "type": "object",
            "required": ["origin_city", "destination_city"],
            "properties": {
                "origin_city": {"type": "string", "description": "City of departure"},
                "destination_city": {"type": "string", "description": "City of arrival"},
            },
        },
    )
)


def get_flight_info(origin_city: str, destination_city: str) -> dict[str, str]:
    """What a real program would look up."""
    return {"info": f"No flight from {origin_city} to {destination_city} today. The train leaves at 09:40."}


async def main() -> None:
    """Ask for a flight."""
    messages: list[Message] = [
        SystemMessage("You help people find their way from one place to another, and you care about the climate."),
        UserMessage("When does the next flight leave from Miami to Seattle?"),
    ]
    async with connect(model="mistral-large-2407") as client:
        completion = await client.complete(messages, tools=[FLIGHTS], tool_choice="auto")
        messages.append(completion.message)  # as it came
        for call in completion.tool_calls:
            print("the model calls", call.function.name, call.function.arguments)
            result = get_flight_info(**json.loads(call.function.arguments))
            messages.append(ToolMessage(json.dumps(result), tool_call_id=call.id))
        completion = await client.complete(messages, tools=[FLIGHTS])
    print(completion.text)


if __name__ == "__main__":
    asyncio.run(main())
