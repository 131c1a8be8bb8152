"""The command line's door: `inference-async ...` and `python -m inference_async ...`."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and exit.

    With 0 if all is well, 1 on an error, 2 on wrong usage, 3 if the answer is cut. On Ctrl-C the process ends by the
    signal itself, so that a shell stops its loop.
    """
    try:
        try:
            from .cli.app import run
        except ModuleNotFoundError as error:
            if error.name not in ("click", "rich"):
                raise
            sys.exit(f"error: the command line needs {error.name}; install it with: pip install 'inference-async[cli]'")
        sys.exit(run())
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
