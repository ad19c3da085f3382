# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from thebox_webui.accounts import (
    Account,
    AccountsError,
    Guesses,
    Sessions,
    check_password,
    hash_password,
    load_accounts,
)
from thebox_webui.passwd import main


def test_a_password_is_kept_hashed_and_salted() -> None:
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first != second
    assert "correct" not in first
    assert check_password("correct horse", first)
    assert not check_password("correct hors", first)
    assert not check_password("correct horse", None)
    assert not check_password("correct horse", "scrypt$x")
    assert not check_password("correct horse", "scrypt$3$8$1$AA==$AA==")
    with pytest.raises(AccountsError, match="8 to 1024"):
        hash_password("short")


def test_the_command_sets_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "folder" / "accounts.json"
    for user, role in (("anna", "operator"), ("vic", "viewer")):
        monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
        assert main([user, "--role", role, "--file", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    accounts = load_accounts(path)
    assert {a.user: a.role for a in accounts.values()} == {"anna": "operator", "vic": "viewer"}
    assert check_password("correct horse", accounts["anna"].password_hash)
    assert main(["vic", "--remove", "--file", str(path)]) == 0
    assert set(load_accounts(path)) == {"anna"}
    assert main(["vic", "--remove", "--file", str(path)]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert main(["bob", "--file", str(path)]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert main(["../x", "--file", str(path)]) == 1
    assert "is no user name" in capsys.readouterr().err


def test_a_file_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    assert load_accounts(path) == {}
    path.write_text('{"accounts": []}')
    path.chmod(0o644)
    with pytest.raises(AccountsError, match="chmod 600"):
        load_accounts(path)
    path.chmod(0o600)
    for text in (
        "{",
        "[]",
        '{"accounts": [{}]}',
        json.dumps({"accounts": [{"user": "a", "role": "god", "password_hash": "x"}]}),
    ):
        path.write_text(text)
        with pytest.raises(AccountsError):
            load_accounts(path)


def test_a_session_ends() -> None:
    now = [0.0]
    sessions = Sessions(10.0, clock=lambda: now[0])
    token = sessions.begin(Account("anna", "operator", "x"))
    found = sessions.find(token)
    assert found is not None
    assert (found.user, found.role) == ("anna", "operator")
    assert token not in repr(sessions.__dict__)
    assert sessions.find("other") is None
    assert sessions.find(None) is None
    now[0] = 10.0
    assert sessions.find(token) is None
    token = sessions.begin(Account("anna", "operator", "x"))
    sessions.end(token)
    assert sessions.find(token) is None


def test_sessions_are_bounded() -> None:
    sessions = Sessions(10.0)
    account = Account("anna", "operator", "x")
    first = sessions.begin(account)
    for _ in range(1000):
        last = sessions.begin(account)
    assert sessions.find(first) is None
    assert sessions.find(last) is not None


def test_guessing_is_slowed_by_address_and_by_user() -> None:
    now = [0.0]
    guesses = Guesses(most=3, window=60.0, clock=lambda: now[0], kept=10)
    for _ in range(3):
        assert guesses.wait("address a", "user x") == 0
        guesses.failed("address a", "user x")
    assert guesses.wait("address a") == 60.0
    assert guesses.wait("address b", "user x") == 60.0
    assert guesses.wait("address b", "user y") == 0
    now[0] = 61.0
    assert guesses.wait("address a", "user x") == 0
    guesses.failed("address a")
    guesses.succeeded("address a")
    for number in range(100):
        guesses.failed(f"address {number}")
    assert len(guesses._failed) <= 10
