"""Who may ask, and what a browser may do with the answer."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/healthz",)
# Nothing from elsewhere, no script at all, no form that leaves, no frame around it.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A report is one file with its style in it.
REPORT_POLICY = POLICY.replace("style-src 'self'", "style-src 'unsafe-inline'")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Asks for the token where there is one, and puts the rules for browsers on every answer.

    The token comes as ``Authorization: Bearer TOKEN``, or as the password a browser asks for
    (Basic, any user name): never in a URL, which ends up in logs and histories.
    """

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        if scope["path"] in OPEN_PATHS or self._knows(Headers(scope=scope).get("authorization")):
            await self._app(scope, receive, guarded)
            return
        refusal = PlainTextResponse(
            "the token is missing or wrong\n",
            status_code=401,
            headers={"WWW-Authenticate": 'Basic realm="hessay", charset="UTF-8"'},
        )
        await refusal(scope, receive, guarded)

    def _knows(self, authorization: str | None) -> bool:
        if self._token is None:
            return True
        kind, _, given = (authorization or "").partition(" ")
        secret = given.strip().encode()
        if kind.lower() == "basic":
            try:
                secret = base64.b64decode(secret, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(secret, self._token)
