"""Who is answered: requests by the secret address, to a name of this server, from a page of this server."""

import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

__all__ = ["HEADERS", "LOOPBACK_NAMES", "PAGE_POLICY", "Guard"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content Security Policy of everything that sets no other: nothing from elsewhere, no script within the page."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": PAGE_POLICY,
}
"""Headers of every answer that does not set them itself."""


class Guard:
    """Stands before an application, and refuses with a sentence.

    The token is the first part of every path. Unlike a cookie it is not sent to other servers on the same computer,
    and a page of somebody else cannot make a browser send it.

    Args:
        app: Sees the path without the token.
        token: The secret.
        names: Names and addresses by which the server is called.
        any_address: Accept any IP address as its name too. A page of somebody else that has its own name point to this
            computer (DNS rebinding) calls the server by that name, never by an address.
    """

    def __init__(self, app: _App, token: str, names: Iterable[str], *, any_address: bool = False) -> None:
        self.app = app
        self.token = token
        self.names = frozenset(name.lower() for name in names)
        self.any_address = any_address

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                missing = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = headers + [pair for pair in missing if pair[0] not in given]
            await send(message)

        first, _, rest = scope["path"].removeprefix("/").partition("/")
        fault = self._fault(scope, first)
        if fault is not None:
            await _answer(send_guarded, 403, json.dumps({"error": fault}).encode())
        elif scope["path"] == f"/{first}":
            await _answer(send_guarded, 307, b"", (b"location", f"/{first}/".encode()))
        else:
            inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
            await self.app(inner, receive, send_guarded)

    def _fault(self, scope: _Scope, token: str) -> str | None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return "this server is not called so; open the address that tunet serve printed"
        for origin in _values(scope, b"origin"):
            scheme, _, place = origin.partition("://")
            if scheme not in {"http", "https"} or place.lower() != hosts[0].lower():
                return "requests from other pages are refused; open the address that tunet serve printed"
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "the token is missing or wrong; open the address that tunet serve printed"
        return None

    def _is_own(self, host: str) -> bool:
        name = (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address


def _values(scope: _Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _answer(send: _Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
