"""A proxy in front of a service over HTTP that does to its messages what a test asks for."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

Wrong = Callable[[bytes], bytes]


@dataclass
class Faults:
    """What goes wrong, and how often from now on.

    Attributes:
        busy: Requests that are answered 503.
        sent: Changes the bodies of this many requests.
        answered: Changes the bodies of this many answers to GET.
        cut: Answers to GET that end after half of their body.
    """

    url: str = ""
    busy: int = 0
    sent: int = 0
    answered: int = 0
    cut: int = 0
    seen: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, name: str) -> bool:
        """Return whether this fault happens now, and count it."""
        with self._lock:
            left: int = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0


def flipped(body: bytes) -> bytes:
    """Return a body of which one bit is wrong."""
    return bytes([body[0] ^ 1]) + body[1:] if body else body


@contextmanager
def running_proxy(target: str) -> Iterator[Faults]:
    """Run one in front of a URL for the length of a block."""
    faults = Faults()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"target": target, "faults": faults})
    )
    faults.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: str
    faults: Faults

    def _pass(self) -> None:
        self.faults.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.faults.takes("busy"):
            self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
            return
        if body and self.command == "PUT" and self.faults.takes("sent"):
            body = flipped(body)
        answer, data = self._asked(body)
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOPS}
        if self.command == "GET" and data and self.faults.takes("answered"):
            data = flipped(data)
        self._answer(answer.status, headers, data, int(answer.headers.get("Content-Length") or 0))

    def _asked(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=30)
        # The signature covers the name of the host: it is that of the proxy, and stays.
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        return answer, data

    def _answer(self, status: int, headers: dict[str, str], data: bytes, length: int = 0) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(data)))
        self.end_headers()
        if self.command == "GET" and data and self.faults.takes("cut"):
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_about: object) -> None:
        """Print nothing."""

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - named by http.server


_HOPS = {"content-length", "connection", "transfer-encoding", "keep-alive", "date", "server"}
