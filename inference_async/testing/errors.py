"""Errors that only tests meet."""

from __future__ import annotations

from ..errors import InferenceError

__all__ = ["NoAnswerError", "RealCallError"]


class RealCallError(InferenceError):
    """A call to a real service was about to be made where `forbid_real_calls` forbids it; nothing was sent."""


class NoAnswerError(InferenceError):
    """A script or a cassette holds no answer to a call; nothing was sent.

    That of a cassette has a line for each difference from the recording that is nearest.
    """
