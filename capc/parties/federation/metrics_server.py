"""The port of a party's figures: loopback alone, two pages, nothing to change there."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from capc.errors import ConfigError
from capc.parties.federation.metrics import FAILED, Metrics
from capc.transport.endpoints import LOOPBACK

_OWN_NAMES = (LOOPBACK, "localhost")
_REQUEST_SECONDS = 3.0  # for a whole request and its answer
_TEXT, _JSON = "text/plain; version=0.0.4; charset=utf-8", "application/json"


class MetricsServer:
    """Serves `/metrics` and `/health` at 127.0.0.1 until `close`, one request at a time.

    Raises ConfigError where the port is taken. A request that names another host than loopback is
    refused: a page in a browser of this machine cannot read the figures.
    """

    def __init__(self, port: int, metrics: Metrics) -> None:
        handler = type("Handler", (_Handler,), {"metrics": metrics})
        try:
            self._server = _Server((LOOPBACK, port), handler)
        except OSError as error:
            raise ConfigError(f"metrics_port {port} cannot be used: {error.strerror}") from None
        self._closed = False
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._closed = True
        with contextlib.suppress(OSError):  # whoever waits for a connection gets an error
            self._server.socket.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with self._server:
            while not self._closed:
                self._server.handle_request()


class _Server(socketserver.TCPServer):
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no matter of the party."""


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    server_version, sys_version = "capc", ""

    def handle(self) -> None:
        """One request, ended where it takes too long."""
        late = threading.Timer(_REQUEST_SECONDS, self._end)
        late.daemon = True
        late.start()
        try:
            self.handle_one_request()
        finally:
            late.cancel()

    def do_GET(self) -> None:
        """One of the two pages."""
        if self.headers.get("Host", "").partition(":")[0] not in _OWN_NAMES:
            self._say(HTTPStatus.FORBIDDEN, _TEXT, "ask for 127.0.0.1\n")
        elif self.path == "/metrics":
            self._say(HTTPStatus.OK, _TEXT, self.metrics.text())
        elif self.path == "/health":
            failed = self.metrics.state == FAILED
            status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
            self._say(status, _JSON, self.metrics.health())
        else:
            self._say(HTTPStatus.NOT_FOUND, _TEXT, "there are /metrics and /health\n")

    def log_message(self, format: str, *_: object) -> None:
        """Nothing: the log is the party's."""

    def _say(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
