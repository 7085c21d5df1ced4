"""Real MLflow servers, and a real PostgreSQL beneath one of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """`mlflow server` with proxied artifacts, on a port of its own; it can be killed and started again."""

    def __init__(self, folder: Path, backend: str, *options: str, **environment: str):
        self.folder, self.port = folder, free_port()
        self.command = [
            str(BIN / "mlflow"),
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
            "--backend-store-uri",
            backend,
            "--artifacts-destination",
            str(folder / "proxied"),
            "--serve-artifacts",
            *options,
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self.environment = clean | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | environment
        self.log = folder / "server.log"
        self.process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Server:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        begun = time.monotonic()
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - begun < 90, self.log.read_text()
            time.sleep(0.2)
        return self

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as reply:
                return reply.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL to the server and all its processes."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Doubling:
    """A context with a proxy before a server that repeats each creation of a run, as a client does whose first request was heard
    but not answered in time.
    """

    def __init__(self, port: int):
        proxy, target, self.doubled = self, f"http://127.0.0.1:{port}", 0

        class Handler(BaseHTTPRequestHandler):
            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
                request = urllib.request.Request(target + self.path, body, headers, method=self.command)
                if self.path.endswith("/runs/create"):
                    proxy.doubled += 1
                    urllib.request.urlopen(request).close()
                try:
                    with urllib.request.urlopen(request) as reply:
                        status, content = reply.status, reply.read()
                except urllib.error.HTTPError as error:
                    status, content = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Doubling:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL server of our own, with a password; skips the test where PostgreSQL is not installed."""
    found = [str(path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    initdb = shutil.which("initdb") or next((f"{place}/initdb" for place in sorted(found, reverse=True)), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    bin_folder, data, port = Path(initdb).resolve().parent, folder / "postgresql", free_port()
    data.mkdir()
    password = folder / "password"
    password.write_text("database-secret")
    owner: dict = {}
    if os.geteuid() == 0:  # it refuses to run as root
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (data, password):
            shutil.chown(path, "postgres", "postgres")
        for parent in data.parents:
            if parent != Path("/") and parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(
        [
            bin_folder / "initdb",
            "-D",
            data,
            "-U",
            "study",
            "-A",
            "scram-sha-256",
            f"--pwfile={password}",
            "-E",
            "UTF8",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd="/",
        **owner,
    )
    with (folder / "postgresql.log").open("wb") as log:
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-p", str(port), "-k", "", "-h", "127.0.0.1"],
            cwd="/",
            stdout=log,
            stderr=log,
            **owner,
        )
    try:
        for _ in range(100):
            if subprocess.run([bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://study:database-secret@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
