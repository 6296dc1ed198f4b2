"""The server: its address, its private folder, and its end."""

import ipaddress
import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunetseg.errors import InputError
from tunetseg.inference.predictor import Ensemble
from tunetseg.io.extras import need
from tunetseg.io.scratch import remove_leftovers, scratch_folder
from tunetseg.limits import LIMITS
from tunetseg.report.pages import check_packages

__all__ = ["Address", "serve"]

_HEADER_BYTES = 2**14
_CONNECTIONS = 64


@dataclass(frozen=True)
class Address:
    """Where the server listens.

    Args:
        host: Name or address of the network interface.
        port: Number; 0 takes one that is free.
        names: Further names by which the server may be called, such as that of a proxy.

    Attributes:
        private: Whether only this computer can reach it.
    """

    host: str = "127.0.0.1"
    port: int = 8017
    names: Sequence[str] = ()

    @property
    def private(self) -> bool:
        """Whether only this computer can reach it."""
        try:
            found = {info[4][0] for info in socket.getaddrinfo(self.host, None)}
        except (OSError, UnicodeError):
            raise InputError(f"{self.host}: there is no such host on this computer; choose 127.0.0.1") from None
        return all(ipaddress.ip_address(str(place).partition("%")[0]).is_loopback for place in found)

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            InputError: The address is not one of this computer, or the port is taken.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.host}:{self.port}: cannot listen there ({reason}); choose another port") from None


def serve(
    model: Ensemble,
    address: Address = Address(),
    *,
    most_bytes: int = LIMITS.upload_bytes,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve a page that segments the files that are dropped on it, until Ctrl-C or SIGTERM.

    Files lie in a folder of the system's temporary folder that only its owner can enter, and that is removed at the
    end. Those that killed servers left are removed at the start.

    Args:
        model: As `load_model` returns it.
        address: Where the server listens.
        most_bytes: Bytes that all uploads and results together take.
        announce: Receives the address of the page, with its token.

    Raises:
        InputError: A package is not installed, or the address cannot be used.
        KeyboardInterrupt: The server was ended.
    """
    uvicorn = need("uvicorn", "serve", "the server")
    need("starlette", "serve", "the server")
    check_packages()
    from tunetseg.serve.app import make_app
    from tunetseg.serve.guard import LOOPBACK_NAMES, Guard
    from tunetseg.serve.jobs import Jobs
    from tunetseg.serve.uploads import Budget

    private, token = address.private, secrets.token_urlsafe(24)
    names = {*LOOPBACK_NAMES, address.host, *address.names}
    names |= set() if private else {socket.gethostname(), socket.getfqdn()}
    temporary = Path(tempfile.gettempdir())
    remove_leftovers(temporary)
    with address.listen() as listener, scratch_folder(temporary) as folder:
        jobs = Jobs(folder, model, Budget(most_bytes))
        try:
            guard = Guard(make_app(jobs), token, names, any_address=not private)
            config = uvicorn.Config(
                guard,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,  # it would hold the token
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=_HEADER_BYTES,
                http="h11",
            )
            announce(f"http://{_shown(address.host)}:{listener.getsockname()[1]}/{token}/")
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            jobs.close()


def _shown(host: str) -> str:
    """Return what a browser calls a host; one that stands for all interfaces is called by the name of the computer."""
    if host in {"0.0.0.0", "::"}:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
