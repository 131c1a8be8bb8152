"""How much work a schema may make: a request must not hold up the server, which has one thread for all.

Steps are counted and not seconds, so that the same request always gets the same answer.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_STEPS", "Effort", "SpentError"]

MOST_STEPS: Final = 60_000


class SpentError(Exception):
    """The schema makes too much work. No `ValueError`, so that no further branch is tried."""

    def __init__(self) -> None:
        super().__init__("the schema is too large")


class Effort:
    """What may be spent on a schema.

    Attributes:
        left: the steps that are left; a step takes a microsecond or two.
    """

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Count steps.

        Raises:
            SpentError: there are not so many left.
        """
        if steps > self.left:
            self.left = 0
            raise SpentError
        self.left -= steps
