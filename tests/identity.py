"""A local Microsoft Entra ID and a local managed identity, which azure-identity's own credentials talk to."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import trustme
from aiohttp import web
from azure.identity.aio import ClientSecretCredential

from tests.support import Connection, RawServer, json_reply

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
CLIENT_SECRET = "client-secret-that-nobody-may-see"
IDENTITY_HEADER = "identity-header-that-nobody-may-see"
VARIABLES = [
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS",
    "AZURE_USERNAME",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
]


class Asked(NamedTuple):
    """A request for a token, as the server understood it."""

    way: str
    scope: str
    claims: dict[str, Any] | None = None


class Entra:
    """A token server on loopback: `https` speaks OAuth2 client credentials, `http` the managed identities' two ways.

    Attributes:
        asked: the requests for tokens.
        lives: seconds until a token ends.
        refresh_in: seconds until it should be refreshed, where the server says so.
        broken: answer all requests with an error.
        gate: where it is set, requests wait for it.
        arrived: whether a request has come.
    """

    def __init__(self, directory: Path) -> None:
        self.asked: list[Asked] = []
        self.lives = 3600
        self.refresh_in: int | None = None
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.ca = directory / "ca.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.ca))
        app = web.Application()
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._client_credentials)
        app.router.add_get("/msi/token", self._app_service)
        app.router.add_get("/metadata/identity/oauth2/token", self._imds)
        self._runner = web.AppRunner(app)
        self.http = self.https = ""

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        plain, secure = (address[1] for address in self._runner.addresses)
        self.http, self.https = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.gate is not None:
            self.gate.set()
        await self._runner.cleanup()

    def credential(self, client_secret: str = CLIENT_SECRET) -> ClientSecretCredential:
        """azure-identity's own, which asks here."""
        return ClientSecretCredential(
            TENANT,
            CLIENT,
            client_secret,
            authority=self.https,
            disable_instance_discovery=True,
            connection_verify=str(self.ca),
            retry_total=0,
        )

    @property
    def service_principal(self) -> dict[str, str]:
        """The environment of a service principal."""
        return {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_AUTHORITY_HOST": self.https,
        }

    @property
    def app_service(self) -> dict[str, str]:
        """The environment of a managed identity on App Service."""
        return {"IDENTITY_ENDPOINT": f"{self.http}/msi/token", "IDENTITY_HEADER": IDENTITY_HEADER}

    @property
    def imds(self) -> dict[str, str]:
        """The environment of a managed identity on a virtual machine."""
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.http}

    async def _instance(self, request: web.Request) -> web.Response:
        return web.json_response({"tenant_discovery_endpoint": f"{self.https}/{TENANT}/v2.0", "metadata": []})

    async def _configuration(self, request: web.Request) -> web.Response:
        base = f"{self.https}/{request.match_info['tenant']}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        )

    async def _client_credentials(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        claims = json.loads(form["claims"]) if "claims" in form else None
        await self._arrive(Asked("client credentials", form["scope"], claims))
        assert form["grant_type"] == "client_credentials"
        if self.broken or form["client_secret"] != CLIENT_SECRET or form["client_id"] != CLIENT:
            said = f"AADSTS7000215: Invalid client secret provided for app '{CLIENT}'.\r\nTrace ID: t\r\nTimestamp: n"
            return web.json_response({"error": "invalid_client", "error_description": said}, status=401)
        answer = {"token_type": "Bearer", "access_token": self._token(), "expires_in": self.lives}
        if self.refresh_in is not None:
            answer["refresh_in"] = self.refresh_in
        return web.json_response(answer)

    async def _app_service(self, request: web.Request) -> web.Response:
        await self._arrive(Asked("app service", request.query["resource"]))
        if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER or self.broken:
            return web.json_response({"statusCode": 400, "message": "no such identity"}, status=400)
        return self._managed(request.query["resource"])

    async def _imds(self, request: web.Request) -> web.Response:
        await self._arrive(Asked("imds", request.query["resource"]))
        if request.headers.get("Metadata") != "true" or self.broken:
            return web.json_response({"error": "invalid_request", "error_description": "no identity"}, status=400)
        return self._managed(request.query["resource"])

    def _managed(self, resource: str) -> web.Response:
        ends = str(int(time.time()) + self.lives)
        return web.json_response(
            {"token_type": "Bearer", "access_token": self._token(), "expires_on": ends, "resource": resource}
        )

    def _token(self) -> str:
        return f"secret-token-{len(self.asked)}"

    async def _arrive(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()


def challenge(claims: object) -> str:
    """A ``WWW-Authenticate`` header that asks for claims."""
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'


class Model(RawServer):
    """A small endpoint that takes bearers.

    Attributes:
        bearers: what came in the ``Authorization`` header of each call, without the scheme.
    """

    def __init__(self, refusal: Callable[[str], str | None] = lambda bearer: None) -> None:
        """`refusal`: bearer -> the ``WWW-Authenticate`` header of a 401; None to answer."""
        super().__init__(self._complete)
        self.bearers: list[str] = []
        self._refusal = refusal

    async def _complete(self, connection: Connection) -> None:
        fields = dict(line.split(b": ", 1) for line in connection.head.split(b"\r\n") if b": " in line)
        names = {name.lower(): value.decode() for name, value in fields.items()}
        bearer = names.get(b"authorization", names.get(b"api-key", "")).removeprefix("Bearer ")
        self.bearers.append(bearer)
        refused = self._refusal(bearer)
        if refused is None:
            row = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
            await connection.send(json_reply({"id": "1", "model": "m", "created": 1, "choices": [row]}))
        else:
            body = {"error": {"code": "401", "message": "no"}}
            await connection.send(json_reply(body, "401 Unauthorized", [f"WWW-Authenticate: {refused}"]))
