"""The emulator as a server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .auth_api import Auth
from .collections_here import Collections
from .faults import Faults, Refusal
from .task_book import TaskBook
from .transfer_api import TransferApi

_API = "/transfer/v0.10"


class Emulator:
    """Globus Auth and the Transfer API at a port of this machine.

    Args:
        state: Path of the file that keeps tasks.
        roots: The folder of each collection, by id.
        faults: What goes wrong; nothing by default.
        auth: The logins of an earlier emulator; none by default.
        port: 0 for any.

    Attributes:
        calls: Method and path of all calls that have been decided so far.
    """

    def __init__(
        self,
        state: str,
        roots: Mapping[str, str],
        faults: Faults | None = None,
        auth: Auth | None = None,
        port: int = 0,
    ) -> None:
        self.state = state
        self.roots = roots
        self.faults = faults or Faults()
        self.auth = auth or Auth()
        self.book = TaskBook(state)
        self.api = TransferApi(Collections(roots, self.faults), self.book, self.faults)
        self.calls: list[str] = []
        self._answered = threading.Condition()
        bound = type("BoundHandler", (_Handler,), {"emulator": self})
        self._server = _Server(("127.0.0.1", port), bound)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead globus-sdk here."""
        here = f"http://127.0.0.1:{self.port}"
        return {
            "GLOBUS_SDK_SERVICE_URL_AUTH": f"{here}/auth/",
            "GLOBUS_SDK_SERVICE_URL_TRANSFER": f"{here}/transfer/",
        }

    def note(self, call: str) -> None:
        """Take note of a call whose answer stands."""
        with self._answered:
            self.calls.append(call)
            self._answered.notify_all()

    def wait_for_calls(self, path_end: str, count: int) -> None:
        """Wait until so many calls of a path have been decided."""
        with self._answered:
            assert self._answered.wait_for(lambda: self.called(path_end) >= count, 30)

    def release(self) -> None:
        """Let tasks go on that were held by a state."""
        self.faults.state = {}
        for task in self.book.tasks.values():
            task.shown.update(status="ACTIVE", nice_status=None, is_paused=False)

    def called(self, path_end: str) -> int:
        """Return how many calls there were of a path."""
        return sum(call.endswith(path_end) for call in self.calls)

    def stop(self) -> None:
        """End it. Tasks that have not ended end here, and go on in the next emulator with the same state."""
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self.book.save()
        self.book.save = lambda: None  # type: ignore[method-assign] # what its threads still do is lost
        for task in self.book.tasks.values():
            task.canceled.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for request in list(self._open):
            self.shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "GlobusEmulator/never-compared-with-Globus"
    wbufsize = 1 << 16  # headers and body in one segment, or each call waits for a delayed acknowledgment
    emulator: Emulator

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = f"{method} {parts.path}"
        try:
            answer = self._document(method, parts.path, dict(parse_qsl(parts.query)), body)
        except Refusal as error:
            self.emulator.note(call)
            self._send(error.status, error.document, error.headers)
            return
        self.emulator.note(call)
        self._send(200, answer, {})

    def _document(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        self.emulator.faults.meet(path)
        login = self.headers.get("Authorization") or ""
        if path == "/auth/v2/oauth2/token":
            return self.emulator.auth.token(dict(parse_qsl(body.decode())), login)
        if not path.startswith(_API):
            raise Refusal(404, "NotFound", f"the emulator has no {path}")
        self.emulator.auth.check(login)
        given = json.loads(body) if body else {}
        return self.emulator.api.answer(method, path[len(_API) :], query, given)

    def _send(self, status: int, document: dict[str, Any], headers: Mapping[str, str]) -> None:
        data = json.dumps({"request_id": "emulated", "resource": self.path, **document}).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True
