"""Tools: typed functions that a model may call, and the loop that calls them.

`definition.py` makes a tool of a function, `offer.py` sorts the tools of a run, `calls.py` runs the calls of an answer,
`run.py` goes from answer to answer, `events.py` is what it tells. Of the front door only `asking.py` is known.
"""

from .asking import AnswerStream, ChatClient
from .definition import Tool, tool
from .events import AnswerChunk, AnswerFinished, RunFinished, ToolFinished, ToolRunEvent, ToolStarted
from .offer import ToolLike
from .run import ToolRun, run_tools

__all__ = [
    "AnswerChunk",
    "AnswerFinished",
    "AnswerStream",
    "ChatClient",
    "RunFinished",
    "Tool",
    "ToolFinished",
    "ToolLike",
    "ToolRun",
    "ToolRunEvent",
    "ToolStarted",
    "run_tools",
    "tool",
]
