"""Outputs take the place of what is there; what was put there meanwhile is neither followed nor waited for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from study.files import durable
from study.files.targets import checked_target
from study.terminal.errors import InputError, StudyError, quoted


@pytest.mark.parametrize("meanwhile", ["link", "pipe", "file"])
def test_what_was_put_there_meanwhile_is_replaced(tmp_path, meanwhile):
    target, other = tmp_path / "report.pdf", tmp_path / "other"
    other.write_text("kept")
    assert checked_target("out", target) == target
    if meanwhile == "link":
        target.symlink_to(other)
    elif meanwhile == "pipe":
        os.mkfifo(target)
    else:
        target.write_text("old")
    durable.write(target, b"new")
    assert target.read_bytes() == b"new" and not target.is_symlink()
    assert other.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "report.pdf"]


def test_a_folder_that_was_put_there_meanwhile_is_one_line(tmp_path):
    (tmp_path / "report.pdf").mkdir()
    with pytest.raises(StudyError, match=r"report\.pdf cannot be written"):
        durable.write(tmp_path / "report.pdf", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.pdf"]


def test_the_longest_name_there_is_can_be_written(tmp_path):
    target = checked_target("out", tmp_path / f"{'x' * 251}.pdf")
    durable.write(target, b"new")
    assert target.read_bytes() == b"new"


@pytest.fixture
def plain_user():
    """Not root, who may write everywhere: where the tests run as root, nobody does this one."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(0, 0, 0)


def test_a_folder_and_a_file_that_are_read_only_are_refused(plain_user):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for their owner alone
        folder = Path(name)
        (folder / "file").touch(mode=0o400)
        with pytest.raises(InputError, match="read-only"):
            checked_target("out", folder / "file")
        folder.chmod(0o500)
        with pytest.raises(InputError, match="cannot be written"):
            checked_target("out", folder / "new")
        folder.chmod(0o700)


def test_messages_show_values_short_in_one_line_and_without_secrets():
    assert quoted("0-9") == "0-9"
    assert quoted("a\nb\x1b[31m\0") == "a\\nb\\x1b[31m\\x00"
    assert quoted("x" * 5000) == f"{'x' * 80}... (5,000 characters)"
    assert "secret" not in quoted("tcp://user:secret@host:99999")
