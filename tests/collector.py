"""Collector: a stub of an OTLP server on loopback, which keeps what it is sent."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Collector:
    """What a collector was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.go_on = threading.Event()
        """Set: requests are answered."""


@contextmanager
def open_collector(
    *, answers: bool = True, statuses: Sequence[int] = (200,), text: str = ""
) -> Iterator[Collector]:
    """Serve one, in threads of its own, as the exporter sends from a thread.

    The n-th request gets the n-th of *statuses* (the last one from then on) and *text*.
    """
    collector = Collector()
    if answers:
        collector.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.paths.append(self.path)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            collector.go_on.wait(30)
            self.send_response(statuses[min(len(collector.bodies), len(statuses)) - 1])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            collector.go_on.set()
            server.shutdown()
            thread.join(5)
