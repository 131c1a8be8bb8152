"""Types for models: a Python type as a JSON Schema, text as that type, and JSON that is not yet finished."""

from .answers import AnswerType, Mismatch, decoder_of
from .parsed import parsed_completion, repair_request
from .partial import PartialReader
from .schema import schema_of, strict_schema

__all__ = [
    "AnswerType",
    "Mismatch",
    "PartialReader",
    "decoder_of",
    "parsed_completion",
    "repair_request",
    "schema_of",
    "strict_schema",
]
