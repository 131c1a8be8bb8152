"""The interface of azure-ai-inference 1.0.0b9, retired in August 2026, for programs that were written for it.

Change the imports, and nothing else::

    from inference_async.compat.azure_ai_inference.aio import ChatCompletionsClient
    from inference_async.compat.azure_ai_inference.models import SystemMessage, UserMessage

What it raises are azure-core's own classes, and the credentials are azure-core's and azure-identity's, so those imports
stay as they are; both can be had from here, too. The cause of each error is this package's own, which knows more: what
had arrived, how many requests were sent, what to do.

There are no synchronous clients. Written from the public documentation of that package's interface.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

__all__ = [
    "AzureError",
    "AzureKeyCredential",
    "ClientAuthenticationError",
    "DecodeError",
    "HttpResponseError",
    "IncompleteReadError",
    "ResourceExistsError",
    "ResourceNotFoundError",
    "ServiceRequestError",
    "ServiceRequestTimeoutError",
    "ServiceResponseError",
    "ServiceResponseTimeoutError",
]


if not TYPE_CHECKING:  # or the checkers would believe in any name at all

    def __getattr__(name: str) -> Any:
        if name in ("ChatCompletionsClient", "EmbeddingsClient", "ImageEmbeddingsClient", "load_client"):
            # Not an AttributeError: `from ... import` would drop its words.
            raise ImportError(f"there are no synchronous clients here; the asynchronous one is {__name__}.aio.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
