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

from typing import Any

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


def __getattr__(name: str) -> Any:
    hint = ""
    if name in ("ChatCompletionsClient", "EmbeddingsClient", "ImageEmbeddingsClient", "load_client"):
        hint = f": there are no synchronous clients; the asynchronous one is {__name__}.aio.{name}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
