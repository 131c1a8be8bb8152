"""Endpoints: the one place that knows which host speaks how.

A pasted URL becomes an `Endpoint`, a plain value that says where a call goes, which header carries a key, which scope a
token needs, and what the dialect offers. Nothing else in the package asks "which host is this?".

Paths are joined by hand: `urljoin` drops the last segment of a base without a trailing slash.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import msgspec

from ..errors import ConfigurationError
from ..types.base import UNSET, UnsetType

__all__ = [
    "CREDENTIAL_HEADERS",
    "DEFAULT_API_VERSION",
    "ENDPOINT_VARIABLES",
    "Dialect",
    "Endpoint",
    "Settings",
    "settings_for",
    "settings_from",
    "variables_of",
]

Dialect: TypeAlias = Literal["models", "openai-v1", "deployment", "serverless", "managed", "generic"]
"""How an endpoint speaks.

- ``models``: the Model Inference API, ``https://NAME.services.ai.azure.com/models``; deprecated by the service.
- ``openai-v1``: its successor, ``.../openai/v1`` of a Foundry or Azure OpenAI resource.
- ``deployment``: Azure OpenAI with dated versions, ``.../openai/deployments/NAME``; the path names the model.
- ``serverless``: one model behind ``https://NAME.REGION.models.ai.azure.com``.
- ``managed``: one model on managed compute, ``https://NAME.REGION.inference.ml.azure.com``.
- ``generic``: any other server that speaks OpenAI's chat completions.
"""

DEFAULT_API_VERSION: Final = "2024-05-01-preview"
"""The only version left in the service's specification of `/models`."""

_OPERATIONS: Final = (
    "/chat/completions",
    "/images/embeddings",
    "/images/generations",
    "/audio/speech",
    "/audio/transcriptions",
    "/embeddings",
    "/completions",
    "/responses",
    "/info",
)
_RESOURCE_HOSTS: Final = (".services.ai.azure.com", ".openai.azure.com", ".cognitiveservices.azure.com")
_SERVERLESS_HOSTS: Final = (".models.ai.azure.com", ".inference.ai.azure.com")
_MANAGED_HOSTS: Final = (".inference.ml.azure.com",)
_AZURE_HOSTS: Final = (*_RESOURCE_HOSTS, *_SERVERLESS_HOSTS, *_MANAGED_HOSTS)
_FRONT_HOST: Final = ".azure-api.net"
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_LIKE_A_HOST: Final = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+)(:\d+)?(/[\w./-]*)?")
_DEPLOYMENT: Final = re.compile(r".*/openai/deployments/[^/]+")
_GONE_HOSTS: Final = ("models.github.ai", "models.inference.ai.azure.com")


_PORTALS: Final = ("ai.azure.com", "oai.azure.com", "portal.azure.com", "ml.azure.com")


CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key", "ocp-apim-subscription-key"})
"""Headers whose value is a credential on any endpoint."""


class _Speech(NamedTuple):
    """What the endpoints of a dialect have in common; see `Endpoint` for the meaning."""

    key_header: str = "authorization"
    scope: str | None = None
    extra_parameters: bool = False
    ask_for_usage: bool = True
    model_in: Literal["body", "path", "endpoint"] = "body"
    api_version: str | None = None


_SPEECH: Final[Mapping[str, _Speech]] = {
    "models": _Speech(
        key_header="api-key",
        scope="https://cognitiveservices.azure.com/.default",
        extra_parameters=True,
        ask_for_usage=False,  # it comes unasked, and asking is an extra parameter
        api_version=DEFAULT_API_VERSION,
    ),
    "openai-v1": _Speech(key_header="api-key", scope="https://ai.azure.com/.default"),
    "deployment": _Speech(
        key_header="api-key",
        scope="https://cognitiveservices.azure.com/.default",
        model_in="path",
        api_version="2024-10-21",  # the last that is generally available
    ),
    "serverless": _Speech(
        extra_parameters=True,
        ask_for_usage=False,
        model_in="endpoint",
        api_version=DEFAULT_API_VERSION,
    ),
    "managed": _Speech(
        scope="https://ml.azure.com/.default",
        extra_parameters=True,
        ask_for_usage=False,
        model_in="endpoint",
        api_version=DEFAULT_API_VERSION,
    ),
    "generic": _Speech(),
}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where calls go, and how to speak there. Made by `Endpoint.parse`.

    Attributes:
        base: scheme, host and path, without a trailing slash.
        dialect: see `Dialect`.
        query: what follows the question mark of every call.
        key_header: the header that carries a key: ``api-key``, or ``authorization`` (then as a bearer).
        scope: the scope of an Entra ID token; None where the endpoint is no Azure endpoint.
        extra_parameters: whether the ``extra-parameters`` header means anything there.
        ask_for_usage: whether a stream must be asked to report usage.
        model_in: what names the model: the ``body`` of the call, the ``path``, or the ``endpoint`` as a whole.
        dropped_api_version: the version in the URL that is not sent, because ``/openai/v1`` takes no dated ones.
    """

    base: str
    dialect: Dialect
    query: tuple[tuple[str, str], ...] = ()
    key_header: str = "authorization"
    scope: str | None = None
    extra_parameters: bool = False
    ask_for_usage: bool = True
    model_in: Literal["body", "path", "endpoint"] = "body"
    dropped_api_version: str | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        dialect: Dialect | None = None,
        api_version: str | UnsetType | None = UNSET,
        key_header: str | None = None,
    ) -> Endpoint:
        """Understand a URL as people paste it: with or without operation, api-version, or trailing slash.

        Warns (`UserWarning`) of an api-version in the URL that is dropped; an `api_version` given here never is.

        Args:
            url: the base of the endpoint, such as ``https://NAME.services.ai.azure.com/openai/v1``.
            dialect: set it to overrule what the URL says.
            api_version: overrules the one in the URL; None sends none.
            key_header: overrules the header that carries a key, such as ``Ocp-Apim-Subscription-Key`` for an API
                Management front of one's own.

        Raises:
            ConfigurationError: the URL cannot be understood; the message lists what was tried.
        """
        parts = _split(url)
        path = _without_operation(parts.path.rstrip("/"), parts.hostname or "", dialect)
        query = parse_qsl(parts.query, keep_blank_values=True)
        given = next((value for name, value in query if name == "api-version"), None)
        version = given if isinstance(api_version, UnsetType) else api_version
        base = f"{parts.scheme}://{parts.netloc}{path}"
        found = dialect or _dialect_of(parts, path)
        speech = _SPEECH.get(found) if _is_text(found) else None
        if speech is None:
            raise ConfigurationError(f"got dialect={found!r}, expected one of {', '.join(map(repr, _SPEECH))}")
        dropped = None
        if isinstance(api_version, UnsetType):
            version = version or speech.api_version
            if found == "openai-v1" and version not in ("v1", "preview"):
                dropped, version = version, None
        rest = [row for row in query if row[0] != "api-version"]
        if key_header is not None and not (_is_text(key_header) and _HEADER_NAME.fullmatch(key_header)):
            raise ConfigurationError(f"got key_header={key_header!r}, expected the name of a header")
        if (
            dialect is None
            and found == "openai-v1"
            and not (parts.hostname or "").endswith((*_RESOURCE_HOSTS, _FRONT_HOST))
        ):
            # The path is Azure's, the host is not: others have that path too, and take keys as bearers, as Azure does.
            speech = speech._replace(key_header="authorization", scope=None)
        if dropped is not None:
            warnings.warn(
                f"got api-version={dropped} in the address of {base}, which takes no dated version: it is not sent; "
                "take it out of the address, or pass api_version=None",
                stacklevel=2,
            )
        return cls(
            base=base,
            dialect=found,
            query=(("api-version", version), *rest) if version else tuple(rest),
            key_header=(key_header or speech.key_header).lower(),
            scope=speech.scope,
            extra_parameters=speech.extra_parameters,
            ask_for_usage=speech.ask_for_usage,
            model_in=speech.model_in,
            dropped_api_version=dropped,
        )

    def explain(self) -> dict[str, str]:
        """What was understood, as rows for a person to read; none of them holds a secret."""
        version = next((value for name, value in self.query if name == "api-version"), "none is sent")
        if self.dropped_api_version is not None:
            version += f"; {self.dropped_api_version} of the address is dropped, for /openai/v1 takes none"
        further = [name for name, _ in self.query if name != "api-version"]  # names only: a value may be a key
        carries = "authorization, as a bearer" if self.key_header == "authorization" else self.key_header
        unknown = "the extra-parameters header decides" if self.extra_parameters else "sent as they are"
        return {
            "dialect": f"{self.dialect}: {_MEANING[self.dialect]}",
            "chat": f"{self.base}/chat/completions",
            "embeddings": f"{self.base}/embeddings",
            "api-version": version,
            "further query": ", ".join(further) or "none",
            "a key goes in": carries,
            "a token is for": self.scope or "no scope known: say scope= if the host takes Entra ID tokens",
            "the model is named": _NAMED[self.model_in],
            "unknown fields": unknown,
            "usage in a stream": "asked for" if self.ask_for_usage else "comes unasked",
        }

    def __repr__(self) -> str:
        # Without the query, whose values may be keys.
        return f"<Endpoint {self.dialect} {self.base}>"

    def url(self, operation: str, *, params: tuple[tuple[str, str], ...] = ()) -> str:
        """The address of an operation, such as ``chat/completions``; `params` go behind the endpoint's own query."""
        if not self.query and not params:
            return f"{self.base}/{operation}"
        query = urlencode(self.query + params, quote_via=quote)
        return f"{self.base}/{operation}?{query}"

    @property
    def credential_headers(self) -> frozenset[str]:
        """The headers whose value is a credential there, whoever sets them; names in lower case."""
        return CREDENTIAL_HEADERS | {self.key_header}

    @property
    def host(self) -> str:
        """The host, without the port."""
        return urlsplit(self.base).hostname or ""

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)

    @property
    def is_secure(self) -> bool:
        """Whether a credential may be sent there: over TLS, or without leaving this machine."""
        return self.base.startswith("https://") or self.is_local

    @property
    def is_azure(self) -> bool:
        """Whether the host is one of Azure's, where every call needs a credential."""
        return self.host.endswith(_AZURE_HOSTS)


_MEANING: Final[Mapping[Dialect, str]] = {
    "models": "the Model Inference API; deprecated, /openai/v1 of the same resource is its successor",
    "openai-v1": "the current API of Foundry and Azure OpenAI resources",
    "deployment": "Azure OpenAI with dated versions",
    "serverless": "one model, serverless",
    "managed": "one model, on managed compute",
    "generic": "any OpenAI-compatible server",
}
_NAMED: Final = {
    "body": "in the body: model= is the deployment's name, upper and lower case matter",
    "path": "in the path; model= changes nothing",
    "endpoint": "by the endpoint; model= is not needed",
}


class Settings(NamedTuple):
    """What the environment says: each None where it says nothing; `token` is an Entra ID token in place of a key."""

    endpoint: str | None = None
    credential: str | None = None
    model: str | None = None
    token: str | None = None


_VARIABLES: Final = (
    ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL", "AZURE_INFERENCE_MODEL"),
    ("AZURE_AI_CHAT_ENDPOINT", "AZURE_AI_CHAT_KEY", "AZURE_AI_CHAT_MODEL"),
    ("AZURE_AI_EMBEDDINGS_ENDPOINT", "AZURE_AI_EMBEDDINGS_KEY", "AZURE_AI_EMBEDDINGS_MODEL"),
    ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT"),
    ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"),
)


ENDPOINT_VARIABLES: Final = tuple(row[0] for row in _VARIABLES)
"""The variables that name an endpoint, in the order they are asked."""


def variables_of(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """The names for endpoint, key and model in the set that names an endpoint; in the first one, if none does."""
    return next((row for row in _VARIABLES if environ.get(row[0], "").strip()), _VARIABLES[0])


def settings_from(environ: Mapping[str, str]) -> Settings:
    """Endpoint, key and model, all from the first set of variables that names an endpoint.

    The sets are ``AZURE_INFERENCE_{ENDPOINT,CREDENTIAL,MODEL}``, ``AZURE_AI_CHAT_{ENDPOINT,KEY,MODEL}``,
    ``AZURE_AI_EMBEDDINGS_{ENDPOINT,KEY,MODEL}``, ``AZURE_OPENAI_{ENDPOINT,API_KEY,DEPLOYMENT}`` and
    ``OPENAI_{BASE_URL,API_KEY,MODEL}``. They are never mixed: a key goes only to the host it was set for.
    ``AZURE_OPENAI_ENDPOINT`` holds a host by convention and means its ``/openai/v1``; ``AZURE_OPENAI_AD_TOKEN`` stands
    for its key, and ``OPENAI_API_VERSION`` is for addresses of ``/openai/deployments``, which need one.
    """
    for endpoint_name, key_name, model_name in _VARIABLES:
        endpoint = environ.get(endpoint_name, "").strip()
        if not endpoint:
            continue
        token = None
        if endpoint_name == "AZURE_OPENAI_ENDPOINT":
            endpoint = _with_version(_v1_of(endpoint), environ.get("OPENAI_API_VERSION", "").strip())
            token = environ.get("AZURE_OPENAI_AD_TOKEN", "").strip() or None
        key = environ.get(key_name, "").strip() or None
        return Settings(endpoint, key, environ.get(model_name, "").strip() or None, token if key is None else None)
    return Settings()


def settings_for(endpoint: Endpoint, environ: Mapping[str, str]) -> Settings:
    """Key and model for an endpoint that was given: those of the set of variables that names the same host.

    If there is no key among them, sets that name no endpoint at all count too: those of Azure's names for Azure's
    hosts, and ``AZURE_INFERENCE_...`` for this machine. A key that was set for one host is never sent to another.
    """
    key: str | None = None
    model: str | None = None
    token: str | None = None
    rows = [[environ.get(name, "").strip() for name in row] for row in _VARIABLES]
    for names, (theirs, their_key, their_model) in zip(_VARIABLES, rows, strict=True):
        if theirs and _origin(theirs) == _origin(endpoint.base):
            key, model = key or their_key or None, model or their_model or None
            if names[0] == "AZURE_OPENAI_ENDPOINT":
                token = environ.get("AZURE_OPENAI_AD_TOKEN", "").strip() or None
    if key is not None or token is not None:
        return Settings(endpoint.base, key, model, token if key is None else None)
    for names, (theirs, their_key, their_model) in zip(_VARIABLES, rows, strict=True):
        meant = endpoint.is_azure or (endpoint.is_local and names[0] == ENDPOINT_VARIABLES[0])
        if not theirs and meant and names[0].startswith("AZURE"):
            key, model = key or their_key or None, model or their_model or None
    return Settings(endpoint.base if key or model else None, key, model)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", url, None
    return parts.scheme, parts.hostname or "", port


def _v1_of(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return endpoint  # what is wrong with it, `Endpoint.parse` will say
    return endpoint if parts.path.strip("/") else parts._replace(path="/openai/v1").geturl()


def _with_version(endpoint: str, version: str) -> str:
    if not version or "/openai/deployments/" not in endpoint or "api-version=" in endpoint:
        return endpoint
    return f"{endpoint}{'&' if '?' in endpoint else '?'}api-version={quote(version)}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _split(url: object) -> SplitResult:
    if not isinstance(url, str):
        raise ConfigurationError(f"got an endpoint of type {type(url).__name__}, expected a URL as text")
    text = url.strip()
    if text.startswith(('"', "'", "<")):
        raise ConfigurationError("got an endpoint in quotes or angle brackets, expected the bare URL")
    if "<" in text or ">" in text:
        raise ConfigurationError("got an endpoint with a placeholder in angle brackets; put the resource's name there")
    if not text:
        raise ConfigurationError(
            "got an empty endpoint, expected a URL such as https://NAME.services.ai.azure.com/openai/v1"
        )
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError as error:
        raise ConfigurationError(f"got an endpoint that is no URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        # What does not look like a host may be a key.
        hint = "; write the whole URL, such as https://NAME.services.ai.azure.com/openai/v1"
        if like := _LIKE_A_HOST.fullmatch(text):
            meant = f"https://{text}"
            if like[1].lower().endswith(_RESOURCE_HOSTS):
                meant = _v1_of(meant)  # the host alone would be refused next
            hint = f": did you mean {meant}?"
        raise ConfigurationError(f"got an endpoint without http:// or https://{hint}")
    if not parts.hostname or any(ord(c) <= 32 or "\ud800" <= c <= "\udfff" for c in text):
        raise ConfigurationError(
            "got an endpoint without a host, or with a space, a control character or half of a character in it"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("got an endpoint with a user name or password in it; pass the key as credential=")
    return parts


def _without_operation(path: str, host: str, dialect: Dialect | None) -> str:
    deployment = _DEPLOYMENT.match(path)
    named = deployment.end() if deployment else 0  # the name of a deployment may read like an operation
    for operation in _OPERATIONS:
        if path.endswith(operation, named):
            return path.removesuffix(operation).rstrip("/")
    # The others are words that may be somebody's own path too, and behind /v1 of API Management the name of a model.
    above = path.rpartition("/")[0].rstrip("/")
    last = path[named:].rpartition("/")[2]
    below_v1 = above.endswith("/v1") and not host.endswith(_FRONT_HOST)
    if (
        (last == "models" and below_v1 and dialect != "models")
        or (last == "chat" and (below_v1 or named or host.endswith(_AZURE_HOSTS)))
        or (last == "score" and host.endswith(_MANAGED_HOSTS))
    ):
        return above
    return path


def _dialect_of(parts: SplitResult, path: str) -> Dialect:
    host = parts.hostname or ""
    base = f"{parts.scheme}://{parts.netloc}"
    if host in _GONE_HOSTS:
        raise ConfigurationError(
            f"got {host}: GitHub Models was shut down on 2026-07-30; deploy the model in Foundry, and use "
            "https://NAME.services.ai.azure.com/openai/v1"
        )
    if host in _PORTALS:
        raise ConfigurationError(
            f"got a page of the portal ({host}), expected the endpoint that it shows, such as "
            "https://NAME.services.ai.azure.com/openai/v1"
        )
    if "/openai/v1/" in f"{path}/":
        return "openai-v1"
    if _DEPLOYMENT.fullmatch(path):
        return "deployment"
    if path.endswith("/models"):
        return "models"
    if host.endswith(_SERVERLESS_HOSTS):
        return "serverless"
    if host.endswith(_MANAGED_HOSTS):
        return "managed"
    if not host.endswith(_RESOURCE_HOSTS):
        return "generic"
    if "/anthropic" in path:
        raise ConfigurationError(
            f"got an endpoint that speaks Anthropic's own wire format; expected {base}/openai/v1, or dialect='generic'"
        )
    candidates = [f"{base}/openai/v1", f"{base}/openai/deployments/NAME"]
    if host.endswith(".services.ai.azure.com"):
        candidates.insert(1, f"{base}/models")
    what = f"the path {path!r}" if path else "no path"
    project = " (a project's endpoint is for agents)" if "/api/projects/" in path else ""
    raise ConfigurationError(
        f"got an Azure endpoint with {what}{project}, which says too little; expected one of "
        f"{', '.join(candidates)} (or say dialect= if this is another kind)"
    )


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL, is this machine whatever the resolver says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
