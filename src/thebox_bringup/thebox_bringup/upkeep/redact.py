# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Takes secrets out of text that leaves the house. No ROS.

What looks like a secret goes, by its name (password, token, key …) or by its shape (a hash, a
key block, credentials in an address). Rather a word too many than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MARK", "Redactor"]

#: What stands in a secret's place.
MARK = "[redacted]"
_NAMES = (
    r"[\w.-]*(?:passw(?:or)?d|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|"
    r"credential|cookie|session[_-]?(?:id|key)|authorization|auth[_-]?key|hash|salt|pin_code|psk)"
    r"[\w.-]*"
)
_SHAPES = (
    # A PEM block, whole or cut off.
    re.compile(
        r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z ]*-----.*?(?:-----END [A-Z ]+-----|\Z)",
        re.DOTALL,
    ),
    # Password hashes: ours (scrypt$N$r$p$salt$hash), crypt's, LDAP's, PBKDF2's, argon2's.
    re.compile(r"\b(?:scrypt|argon2\w*|pbkdf2\w*|bcrypt)[$:][^\s\"',]+", re.IGNORECASE),
    re.compile(r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2\w*|scrypt)\$[^\s\"',]+"),
    re.compile(r"\{(?:S?SHA\d*|MD5|CRYPT)\}[A-Za-z0-9+/=]+"),
    # JSON web tokens, SSH keys, well-known services' tokens.
    re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"),
    re.compile(r"\b(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-\w+) [A-Za-z0-9+/=]{20,}"),
    re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|AKIA)[\w-]{12,}"),
)
_RULES = (
    # Headers: the whole rest of the line.
    re.compile(
        r"(?im)((?:set-cookie|cookie|authorization|proxy-authorization|x-api-key)"
        r"['\"]?\s*[:=]\s*)[^\r\n]+"
    ),
    # Names with a value: NAME=value, "name": "value", name: value, --name value.
    re.compile(rf"(?i)(['\"]?{_NAMES}['\"]?\s*[:=]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}}\]&]+)"),
    re.compile(rf"(?i)(--{_NAMES}\s+)(?:\"[^\"\n]*\"|'[^'\n]*'|\S+)"),
    # Speech in a log: "password is x", "token x".
    re.compile(r"(?i)\b((?:password|passphrase|secret|token)\s+(?:is|was|of \w+ is)\s+)\S+"),
    re.compile(r"(?i)\b(bearer\s+|basic\s+)[A-Za-z0-9._~+/=-]{6,}"),
    # Credentials in an address.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@:]*:[^/\s@]*(?=@)", re.IGNORECASE),
)
# Yes, no and numbers of a switch such as health_needs_login or session_hours are no secrets, and
# a name that ends in these says where a secret is, not what it is.
_HARMLESS = re.compile(
    r"(?i)\s*['\"]?[\w.-]*(?:_?file|_?path|_?hours|_?folder|_?count|_?needed|key_down)['\"]?\s*[:=]"
)


class Redactor:
    """Takes secrets out of text.

    Args:
        known: values that are secret whatever stands around them, such as those of the site.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        # A short word would blot out half the text.
        self._known = sorted({text for text in known if len(text) >= 4}, key=len, reverse=True)
        self.count = 0

    def __call__(self, text: str) -> str:
        """Return the text without its secrets."""
        for secret in self._known:
            self.count += text.count(secret)
            text = text.replace(secret, MARK)
        for shape in _SHAPES:
            text, found = shape.subn(MARK, text)
            self.count += found
        for rule in _RULES:
            text = rule.sub(self._keep_name, text)
        return text

    def _keep_name(self, match: re.Match[str]) -> str:
        if _HARMLESS.fullmatch(match.group(1)):
            return match.group(0)
        self.count += 1
        return f"{match.group(1)}{MARK}"
