"""Tracking stores that are away, locked, or no tracking stores at all: one line, soon, whatever the command."""

from __future__ import annotations

import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import tracked_in
from places import Place

from study.command_line import SHORT_TIMEOUTS
from study.execution import delivery
from study.record import spool
from study.terminal.errors import InputError
from study.tracking import connect

COMMANDS = {
    "check": ("study", "check"),
    "sync": ("study", "sync"),
    "tune": ("study", "tune", "--trials", "1", "--train-images", "240", "--batch-sizes", "10,20"),
    "run": ("study", "run"),
    "analysis": ("analysis", "--study", "latest"),
    "power": ("analysis", "power"),
    "report": ("reports", "--study", "latest"),
    "figure": ("reports", "figure", "truncation"),
    "compare": ("reports", "compare", "latest", "0123456789abcdef0123456789abcdef"),
    "refresh": ("reports", "refresh"),
}
ANSWERS = {
    "an error": (500, b"<h1>Internal error</h1>\n" * 50, {}),
    "come again": (503, b"", {"Retry-After": "3600"}),
    "not found": (404, b"<html>no such page</html>\n" * 50, {}),
    "another program": (404, b'{"detail": "Not Found"}', {}),
    "a page": (200, b"<html>\nlog in first\n</html>", {}),
    "nothing": (200, b"{}", {}),
    "empty": (200, b"", {}),
    "a list": (200, b"[]", {}),
    "other fields": (200, b'{"experiments": "x", "run": 7, "runs": [1]}', {}),
    "garbage": (200, bytes(range(128, 256)) * 20, {}),
    "a redirect to itself": (302, b"", {"Location": "/loop"}),
    "badly packed": (200, b"no gzip", {"Content-Encoding": "gzip"}),
    "cut off": (200, b"{", {"Content-Length": "9999"}),
}


@pytest.fixture
def server():
    """A server on this machine that answers each request alike, by the name in `answer`; without one it never does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if server.answer not in ANSWERS:
                released.wait(60)
                return
            status, body, headers = ANSWERS[server.answer]
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET

        def log_message(self, *words):
            pass

    released = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.answer = ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    released.set()
    server.shutdown()
    server.server_close()


def one_line(place: Place, command: str, seconds: float, *words: str) -> None:
    """The command ends with status 2 and one line that has the words; `seconds` are those of waiting, on a busy machine."""
    module, *arguments = COMMANDS[command]
    begun = time.monotonic()
    done = place.start(module=module, command=(*arguments,)) if command != "run" else place.run(seeds="0")
    assert done.wait() == 2, done.output
    assert done.output.startswith("error: the tracking store ") and done.output.count("\n") == 1, done.output
    assert all(word in done.output for word in words), done.output
    assert time.monotonic() - begun < seconds + 40


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_is_no_tracking_server_is_named(answer, server, monkeypatch):
    for name, value in SHORT_TIMEOUTS.items():
        monkeypatch.setenv(name, value)
    server.answer = answer
    address = f"http://127.0.0.1:{server.server_port}"
    with tracked_in(address), pytest.raises(InputError, match=rf"the tracking store {address} cannot be reached \("):
        connect()


@pytest.mark.parametrize("command", ["run", *(pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS if name != "run")])
def test_every_command_says_in_one_line_that_nobody_answers(command, tmp_path):
    one_line(Place(tmp_path, "http://127.0.0.1:9"), command, 0, "http://127.0.0.1:9 cannot be reached", "Connection refused")


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_twenty_seconds(server, tmp_path):
    one_line(Place(tmp_path, f"http://127.0.0.1:{server.server_port}"), "check", 20, "no answer within 20 s")


@pytest.mark.parametrize("command", ["analysis", pytest.param("figure", marks=pytest.mark.slow)])
def test_a_store_that_is_not_there_is_not_made_to_read_from_it(command, tmp_path):
    one_line(Place(tmp_path, f"sqlite:///{tmp_path}/away/mlflow.db"), command, 0, "is not there, or empty")
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_made_is_named_at_once(tmp_path):
    one_line(Place(tmp_path, "sqlite:////proc/nowhere/mlflow.db"), "check", 60, "no file can be created in /proc")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("garbage", "file is not a database"),
        pytest.param("folder", "unable to open database file", marks=pytest.mark.slow),
        pytest.param("locked", "database is locked", marks=pytest.mark.slow),
        pytest.param("being written", "database is locked", marks=pytest.mark.slow),
    ],
)
def test_a_database_that_cannot_be_used_is_named_in_one_line(how, words, place):
    file = place.folder / "mlflow.db"
    with sqlite3.connect(file, isolation_level=None) as other:
        if how in ("garbage", "folder"):
            file.unlink()
        if how == "garbage":
            file.write_bytes(bytes(range(256)) * 40)
        elif how == "folder":
            file.mkdir()
        else:
            other.execute("BEGIN EXCLUSIVE" if how == "locked" else "BEGIN IMMEDIATE")
        one_line(place, "run", 10, words)


def test_a_slow_store_is_waited_for_and_one_that_is_away_for_as_long_as_patience_says(tmp_path, monkeypatch):
    """`Delivery` itself, with a store that takes its time and one that takes nothing."""

    class Slow:
        def __init__(self, refuses: int):
            self.refuses, self.taken = refuses, []

        def has(self, key):
            return False

        def log_result(self, entry):
            if self.refuses:
                self.refuses -= 1
                raise ConnectionError("away")
            time.sleep(0.4)
            self.taken.append(entry)

        def count(self, what):
            pass

    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.5)
    entries = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        entries.append(spool.Entry(tmp_path / str(number), str(number), None, 0.0, 0.0, {}, "failed"))

    def finished(refuses: int, patience: float) -> int:
        store = Slow(refuses)
        with delivery.Delivery(store, lambda line: None) as carrier:
            for entry in entries:
                entry.folder.mkdir(exist_ok=True)
                carrier.hand_over(entry)
            return carrier.finish(patience)

    assert finished(0, 0) == 0  # each takes longer than this patience
    assert finished(99, 0) == 3
    begun = time.monotonic()
    assert finished(99, 1.5) == 3
    assert time.monotonic() - begun >= 1.5
    assert finished(1, 20) == 0
