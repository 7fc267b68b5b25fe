"""A listener for ``GET /metrics`` alone, in a process that serves no API."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wolke.core import metrics
from wolke.core.app import App
from wolke.core.server import listening

log = logging.getLogger(__name__)
SECONDS = 10.0  # in which a request has to arrive


def serve_metrics(app: App, address: str) -> ThreadingHTTPServer:
    """Answers in threads of its own until ``shutdown()``.

    Raises
    ------
    OSError: the address is taken
    """

    class Page(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_GET(self) -> None:
            allowed = self.client_address[0] in app.config.metrics_from
            if self.path != "/metrics" or not allowed:
                self.send_error(404 if allowed else 403)
                return
            body = metrics.page(app.database)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            log.debug(format, *arguments)

    sock = listening(address)
    server = ThreadingHTTPServer(sock.getsockname()[:2], Page, bind_and_activate=False)
    server.daemon_threads = True
    server.socket.close()
    server.socket = sock
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
