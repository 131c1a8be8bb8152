"""The version, alone in its file so that the build and the user agent read the same one."""

__version__ = "0.1.0"
"""The version of this package, such as ``0.1.0``."""
