"""The terminal, built on the front door; needs the extra `cli`."""
