"""TLS before a local server, by a process of its own and a certificate that is thrown away; for benchmarks.

client  ──TLS──▶  this, at https://localhost:PORT  ──▶  http://localhost:OTHER
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class TlsFront:
    """A front from creation until the end of its block; it passes nothing on before `lead_to`.

    Args:
        folder: where certificate and key are written.

    Attributes:
        endpoint: its address.
        authority: the certificate to trust, which SSL_CERT_FILE may name.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "authority.pem"
        _make_certificates(folder)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder / "server.pem"), str(folder / "server.key")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"https://localhost:{int(self._process.stdout.readline())}"

    def lead_to(self, port: int) -> None:
        """Say where connections go, once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{port}\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _make_certificates(folder: Path) -> None:
    """Make an authority and a certificate of it for localhost, good for a day."""
    (folder / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout authority.key -out authority.pem -days 1 -subj /CN=throwaway",
        "req -newkey rsa:2048 -nodes -keyout server.key -out request.pem -subj /CN=localhost",
        "x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -out server.pem -days 1 -extfile names",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def _serve(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as door:
        print(door.getsockname()[1], flush=True)
        port = int(sys.stdin.readline())
        while True:
            client, _ = door.accept()
            threading.Thread(target=_relay, args=(context, client, port), daemon=True).start()


def _relay(context: ssl.SSLContext, client: socket.socket, port: int) -> None:
    try:
        with (
            context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            for sock in (secure, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(server, secure), daemon=True).start()
            _pass_on(secure, server)
    except OSError:
        pass  # the client has hung up


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    buffer = memoryview(bytearray(1 << 18))
    try:
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # one of the two has hung up, and the other is closed with it


if __name__ == "__main__":
    _serve(*sys.argv[1:])
