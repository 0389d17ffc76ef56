"""``hessay serve``: the history as pages."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

import typer

from hessay.cli.streams import complain, guarded
from hessay.errors import ArgumentError

_SHORTEST_TOKEN = 16


def serve(
    history: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="What hessay watch writes to.")
    ] = "hessay-history.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8484,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Holds the token that is asked for; or set HESSAY_TOKEN. Without one only this "
            "machine may ask.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name it answers to, too. Can be repeated."),
    ] = None,
    rules: Annotated[
        str | None, typer.Option(metavar="RULES.toml", help="Rates for the limit of drift.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Show a history in the browser, and to Prometheus at /metrics. Reads only. Ends at Ctrl-C."""

    def body() -> int:
        if not 1 <= port <= 65535:
            raise ArgumentError(f"--port must lie in [1, 65535], got {port}")
        token = _token(token_file)
        if token is None and not _is_loopback(host):
            raise ArgumentError(
                f"--host {host} can be reached from other machines: give a --token-file, or listen "
                f"on 127.0.0.1"
            )
        try:
            import uvicorn

            from hessay import monitor, store
            from hessay.serve import build_app
        except ImportError as error:
            raise ArgumentError(
                f"hessay serve needs more packages ({error.name}); pip install 'hessay[serve]'"
            ) from None
        rates = monitor.load_rules(rules).rates if rules is not None else None
        names = ["localhost", "127.0.0.1", "[::1]", host, *(allow_host or [])]
        with store.Store.open(history, read_only=True) as kept:
            app = build_app(kept, rates=rates, token=token, hosts=names)
            shown = f"[{host}]" if ":" in host else host
            complain(f"http://{shown}:{port}/ shows {history}; Ctrl-C ends", "note")
            uvicorn.run(
                app,
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        return 0

    return guarded(body, debug=debug)


def _token(file: str | None) -> str | None:
    given = os.environ.get("HESSAY_TOKEN")
    if file is not None:
        try:
            given = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"the token file {file} cannot be read: {error}") from None
    if given is not None and len(given) < _SHORTEST_TOKEN:
        raise ArgumentError(
            f"a token has at least {_SHORTEST_TOKEN} characters, got {len(given)}; make one with "
            f"python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return given


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
