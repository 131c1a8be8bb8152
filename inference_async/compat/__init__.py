"""Names and manners of other clients, for programs that were written for them.

Each is a thin layer over `InferenceClient`, and nothing else in the package knows of it.
"""
