"""The command line's door: `inference-async ...` and `python -m inference_async ...`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with 0, or with 1 on an error, 2 on wrong usage, 130 on Ctrl-C."""
    try:
        from .cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"error: the command line needs {error.name}; install it with: pip install 'inference-async[cli]'")
    sys.exit(run())


if __name__ == "__main__":
    main()
