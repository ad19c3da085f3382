# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Users, hashed passwords, sessions, and the limit on guessing. No ROS.

Passwords are hashed with scrypt (RFC 7914), N = 2^15, r = 8, p = 1: 32 MiB and about 0.1 s a try.
Of a session only the hash of its token is kept, in memory: a restart logs everybody out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from thebox_webui.roles import Role

__all__ = [
    "Account",
    "AccountsError",
    "Guesses",
    "Session",
    "Sessions",
    "check_password",
    "hash_password",
    "load_accounts",
    "save_accounts",
]

_N, _R, _P = 2**15, 8, 1
_MAXMEM = 2 * 128 * _N * _R
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SHORTEST = 8
_LONGEST = 1024
_MOST_SESSIONS = 1000


class AccountsError(ValueError):
    """An accounts file, user or password that cannot be used; the text says why."""


@dataclass(frozen=True)
class Account:
    """One user."""

    user: str
    role: Role
    password_hash: str


@dataclass(frozen=True)
class Session:
    """Who is logged in; ``key`` names the session without giving its token away."""

    user: str
    role: Role
    expires: float
    key: str = ""


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8"), salt=salt, n=n, r=r, p=p, maxmem=_MAXMEM, dklen=32
    )


def hash_password(password: str) -> str:
    """Hash a password: ``scrypt$N$r$p$salt$hash``, the last two in base64.

    Raises:
        AccountsError: it is too short or too long.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise AccountsError(f"a password has {_SHORTEST} to {_LONGEST} characters")
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _N, _R, _P)
    texts = (base64.b64encode(part).decode("ascii") for part in (salt, digest))
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *texts))


#: Compared with when the user is not known, so that the time tells nothing.
_NOBODY = f"scrypt${_N}${_R}${_P}${base64.b64encode(bytes(16)).decode()}$" + (
    base64.b64encode(bytes(32)).decode()
)


def check_password(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one; None (an unknown user) takes as long and is never."""
    parts = (password_hash or _NOBODY).split("$")
    if len(parts) != 6 or parts[0] != "scrypt" or len(password) > _LONGEST:
        return False
    try:
        n, r, p = (int(part) for part in parts[1:4])
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[4:])
        same = hmac.compare_digest(_scrypt(password, salt, n, r, p), digest)
    except ValueError:
        return False
    return same and password_hash is not None


def load_accounts(path: Path) -> dict[str, Account]:
    """Read the users; none when there is no such file.

    Raises:
        AccountsError: the file cannot be read, or others than its owner can.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AccountsError(f"cannot read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise AccountsError(f"{path} can be read by others: chmod 600 {path}")
    try:
        entries = json.loads(text)
        accounts = {
            str(entry["user"]): Account(
                str(entry["user"]), cast(Role, entry["role"]), str(entry["password_hash"])
            )
            for entry in entries["accounts"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise AccountsError(f"{path} is no accounts file ({error!r}); set it with passwd") from None
    for account in accounts.values():
        if account.role not in get_args(Role):
            raise AccountsError(f"{path}: {account.user} has the unknown role {account.role!r}")
    return accounts


def save_accounts(path: Path, accounts: dict[str, Account]) -> None:
    """Write the users, readable by the owner alone, whole or not at all.

    Raises:
        AccountsError: a user's name cannot be, or the file cannot be written.
    """
    for account in accounts.values():
        if not _USER.fullmatch(account.user):
            raise AccountsError(
                f"{account.user!r} is no user name: up to 64 letters, digits and . _ @ -"
            )
    entries = [
        {"user": a.user, "role": a.role, "password_hash": a.password_hash}
        for a in accounts.values()
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes it readable by the owner alone.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"accounts": entries}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise AccountsError(f"cannot write {path}: {error.strerror}") from None


class Sessions:
    """Who is logged in. ``clock`` gives steady seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    @staticmethod
    def _key(token: str) -> str:
        return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

    def begin(self, account: Account) -> str:
        """Log a user in; return the token of the session."""
        token = secrets.token_urlsafe(32)
        key = self._key(token)
        self._sessions[key] = Session(
            account.user, account.role, self._clock() + self._seconds, key
        )
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str | None) -> Session | None:
        """The session of a token; None when it is none, or over."""
        if not token:
            return None
        key = self._key(token)
        session = self._sessions.get(key)
        if session is not None and session.expires <= self._clock():
            del self._sessions[key]
            return None
        return session

    def end(self, token: str | None) -> None:
        """Log out."""
        if token:
            self._sessions.pop(self._key(token), None)


class Guesses:
    """Limits failed logins by address and by user: ``most`` within ``window`` seconds."""

    def __init__(
        self,
        most: int = 5,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        kept: int = 4096,
    ) -> None:
        self._most, self._window, self._clock, self._kept = most, window, clock, kept
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Seconds until another try is allowed; 0 for now."""
        now = self._clock()
        longest = 0.0
        for key in keys:
            recent = [at for at in self._failed.get(key, ()) if now - at < self._window]
            if len(recent) >= self._most:
                longest = max(longest, recent[-self._most] + self._window - now)
        return longest

    def failed(self, *keys: str) -> None:
        """Note a failed login."""
        now = self._clock()
        for key in keys:
            times = self._failed.pop(key, [])
            self._failed[key] = [*times[-self._most :], now]
        while len(self._failed) > self._kept:
            self._failed.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures before a good login."""
        for key in keys:
            self._failed.pop(key, None)
