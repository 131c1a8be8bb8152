"""`inference-async chat`: one prompt and its streamed answer, or a session of many."""

from __future__ import annotations

from ..local import connect
from ..types import ImagePart
from .asked import Asked, Asker, question_of
from .conversations import Conversation, load, save
from .named import schema_format
from .render import noter

__all__ = ["chat"]


async def chat(asked: Asked) -> int:
    """Stream the answer to stdout, the rest to stderr; return the exit code: 0, or 3 if the answer is cut.

    Without a prompt, it is a session, which reads prompts from the terminal.

    Raises:
        InferenceError: a file cannot be read or written, or there is no whole answer.
        OSError: the answer cannot be written.
    """
    note = noter()
    conversation = await load(asked.load) if asked.load is not None else Conversation()
    conversation.model = asked.model or conversation.model
    if asked.system is not None:
        conversation.instruct(asked.system)
    options = dict(asked.options)
    if asked.json_schema is not None:
        options["response_format"] = await schema_format(asked.json_schema)
    images = [await ImagePart.load(path) for path in asked.images]
    async with connect(asked.endpoint, model=conversation.model, note=note) as client:
        conversation.model = client.model
        if asked.timeouts is not None:
            client = client.with_options(timeouts=asked.timeouts)
        asker = Asker(client, asked, options, note)
        if asked.prompt is None:
            from .session import session

            return await session(asker, conversation, images=images, asked=asked)
        conversation.messages = [*conversation.messages, question_of(asked.prompt, images)]
        turn = asker.turn(conversation)
        await turn.run()
        is_whole = turn.report(in_full=asked.usage)
    if asked.save is not None:
        conversation.messages = turn.messages
        conversation.add_usage(turn.usage)
        await save(conversation, asked.save)
    return 0 if is_whole else 3
