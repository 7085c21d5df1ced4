"""Passwords, user names and tokens, which are never printed or stored.

There are two filters. The first knows what is configured: addresses in the environment and on the command line are parsed, and
their secrets, or those in variables such as ``MLFLOW_TRACKING_PASSWORD``, are removed wherever they appear. The second recognises
addresses by their form alone. Where a password cannot be separated from its surroundings, too much is removed rather than too
little."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from configparser import ConfigParser, Error
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

CUT = "***"
KEYS = (
    r"password|passwd|passphrase|pass|pwd|token|secret|(?:api|access|account|private|secret)[_-]?key(?:[_-]?id)?|credentials?|"
    r"signature"
)
SECRET_VARIABLE = re.compile(
    r"(?i)(?:password|passwd|passphrase|_pass|_pwd)$|(?:^|_)(?:token|secret|(?:api|access|account|private|"
    r"secret)_?key(?:_id)?)$"
)
USER_VARIABLE = re.compile(r"(?i)^MLFLOW_TRACKING_USERNAME$|^PGUSER$")
ADDRESS_VARIABLE = re.compile(r"(?i)_?(?:URI|URL|DSN|PROXY|ADDRESS)$")
MLFLOW_FILE = Path.home() / ".mlflow" / "credentials"  # where MLflow itself reads a user name and a password
PARTS = re.compile(r"[\s/@:#?&=%'\"\\;,]+")  # where a parser that a password misleads may split it
LEAST = 3  # shorter secrets are removed only where they cannot be a word or a number of ours
LONG = 8  # from this length on, secrets are removed inside other words, too
TAIL = 100  # letters before an @ that may be the rest of a password that was split

_noted: dict[str, None] = {}


@dataclass(frozen=True)
class _Known:
    """Patterns for the part before the ``@`` of known addresses, for secrets and for user names."""

    before_at: re.Pattern | None
    secrets: re.Pattern | None
    users: re.Pattern | None


def note(address: str) -> None:
    """Registers an address that is neither in the environment nor on the command line."""
    if "@" in address or "=" in address:
        _noted[address] = None


def without_credentials(text: str) -> str:
    """A text without the user names and passwords in addresses (``scheme://user:password@host``), and without other secrets."""
    known = _known()
    if known.before_at:
        text = known.before_at.sub("", text)
    if known.secrets:
        text = known.secrets.sub(CUT, text)
    return _without_shapes(text)


def without_user_names(text: str) -> str:
    """A foreign text, such as a server's error, without known user names; in our own texts they may be common words."""
    users = _known().users
    return users.sub(CUT, text) if users else text


def has_user(address: str) -> bool:
    """Whether an address names a user or a password."""
    return bool(_user_information(address)) or without_credentials(address) != address


# What is known


def _known() -> _Known:
    return _compiled(tuple(os.environ.items()), tuple(sys.argv[1:]), tuple(_noted))


@lru_cache(maxsize=4)
def _compiled(environment: tuple[tuple[str, str], ...], arguments: tuple[str, ...], noted: tuple[str, ...]) -> _Known:
    before_at, passwords, secrets, users = set(), set(), set(), set()
    for name, value in environment:
        if SECRET_VARIABLE.search(name) and value.lower() not in ("", "true", "false", "none"):
            (passwords if name.startswith("MLFLOW_") else secrets).add(value)
        if USER_VARIABLE.search(name):
            users.add(value)
    for user, password in _of_mlflow_file():
        users.add(user)
        passwords.add(password)
    settings = [value for name, value in environment if re.match(r"\s*[\w+.-]+://", value) or ADDRESS_VARIABLE.search(name)]
    for address in (*settings, *arguments, *noted):
        passwords.update(_query_secrets(address))
        information = _user_information(address)
        if not information:
            continue
        before_at.add(information)
        user, colon, password = information.partition(":")
        if colon:
            users.add(user)
            passwords.add(password)
            secrets.add(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
        elif len(user) >= LONG:  # too long for a name: a token
            secrets.add(user)
        else:
            users.add(user)
    given = {name: value for name, value in environment if name.startswith("MLFLOW_TRACKING_")}
    if "MLFLOW_TRACKING_PASSWORD" in given:
        pair = f"{given.get('MLFLOW_TRACKING_USERNAME', '')}:{given['MLFLOW_TRACKING_PASSWORD']}"
        secrets.add(base64.b64encode(pair.encode()).decode())
    tails = {
        text[start:]
        for whole in before_at
        for text in _spellings(whole)
        for start in (0, *range(max(0, len(text) - TAIL), len(text)))
    }
    secrets |= passwords | {part for text in passwords for spelled in (text, unquote(text)) for part in PARTS.split(spelled)}
    return _Known(
        _either(re.escape(tail) + "@" for tail in _longest_first(tails)),
        _either(_where_secret(text) for text in _longest_first(_all_spellings(secrets))),
        _either(_where_user(text) for text in _longest_first(_all_spellings(users))),
    )


def _user_information(address: str) -> str:
    """The part before the last ``@`` of an address; empty where it has no user."""
    scheme, slashes, rest = address.strip().rpartition("://") if address.count("://") == 1 else address.strip().partition("://")
    if not slashes:
        scheme, rest = "", address.strip()
    if _is_path(scheme, rest) or "@" not in rest:
        return ""
    information = rest[: rest.rindex("@")]
    # Without a scheme and a password, it is a mail address or a file name.
    return information if slashes or ":" in information else ""


def _query_secrets(address: str) -> Iterator[str]:
    query = address.strip().partition("?")[2] if "://" in address else ""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if value and re.fullmatch(rf"(?i)[\w.-]*(?:{KEYS}|sig|auth)", name):
            yield value
            yield unquote_plus(value)


def _of_mlflow_file() -> Iterator[tuple[str, str]]:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(MLFLOW_FILE)
        section = parser["mlflow"]
        yield section.get("mlflow_tracking_username", ""), section.get("mlflow_tracking_password", "")
    except (Error, KeyError, OSError, ValueError):
        return


def _spellings(secret: str) -> set[str]:
    """A secret itself, and its spellings in addresses, JSON and logs."""
    plain = {secret, unquote(secret)}
    plain |= {" ".join(text.split()) for text in plain}
    return plain | {
        spelled
        for text in plain
        for spelled in (quote(text), quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1])
    }


def _all_spellings(secrets: Iterable[str]) -> set[str]:
    return {text for secret in secrets if secret.strip() for text in _spellings(secret) if text}


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))


def _where_secret(text: str) -> str:
    """A pattern for a secret: a long one anywhere, a shorter one as a whole word, the shortest only where no word can be."""
    if len(text) >= LONG:
        return re.escape(text)
    if len(text) >= LEAST:
        return rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}})){re.escape(text)}(?![A-Za-z0-9])"
    quoted = rf"(?<=['\"]){re.escape(text)}(?=['\"])|{re.escape(text)}(?=@)"
    return quoted if len(text) == 1 else rf"{quoted}|(?<=[=:/]){re.escape(text)}(?=['\"@:/,;)\s]|$)"


def _where_user(text: str) -> str:
    if len(text) < LEAST:
        return rf"(?<=['\"]){re.escape(text)}(?=['\"@])"
    return rf"(?<![A-Za-z0-9]){re.escape(text)}(?![A-Za-z0-9])"


def _either(patterns: Iterable[str]) -> re.Pattern | None:
    alternatives = list(patterns)
    return re.compile("|".join(alternatives)) if alternatives else None


# What looks like a secret

SCHEME = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*)://")
# It starts only at the beginning of a word: starting at each letter of a long word would take quadratic time.
WITHOUT_SCHEME = re.compile(r"(?<![^\s:/@'\"(])[^\s:/@'\"(]+:[^\s@]+@(?:\S*@)?(?=\S)")
IN_QUERY = re.compile(rf"(?i)([\w.-]{{0,40}}(?:{KEYS}|\bsig|\bauth))(\s?=\s?|%3D)(?:'[^']*'|\"[^\"]*\"|[^&\s]+)")
IN_JSON = re.compile(rf"(?i)(['\"][\w.-]{{0,40}}(?:{KEYS}|auth)['\"]\s*:\s*)(?:'[^']*'|\"[^\"]*\")")
IN_HEADER = re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|token)\s+)?[^\s'\"]+|(bearer\s+)\S{8,}")
QUOTED_USER = re.compile(r"(?i)\b(user(?:[ _]?name)?|role)(\s*+[=:]?\s*+)(?:'[^']+'|\"[^\"]+\")")


def _without_shapes(text: str) -> str:
    if "@" in text:
        before, *addresses = _split_at_schemes(text)
        text = WITHOUT_SCHEME.sub("", before) + "".join(map(_without_user, addresses))
    text = IN_QUERY.sub(rf"\1\2{CUT}", text)
    text = IN_JSON.sub(rf"\1'{CUT}'", text)
    text = IN_HEADER.sub(rf"\1\2{CUT}", text)
    return QUOTED_USER.sub(rf"\1\2'{CUT}'", text)


def _split_at_schemes(text: str) -> list[str]:
    """A text in pieces: the part before the first address, then each address with the text that follows it."""
    starts = [match.start() for match in SCHEME.finditer(text)]
    return [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]


def _without_user(piece: str) -> str:
    """A piece that begins with an address, without its user name and password."""
    scheme, _, rest = piece.partition("://")
    line = rest.split("\n")[0]
    word = re.split(r"\s", line, maxsplit=1)[0]
    if _is_path(scheme, rest) or "@" not in line:
        return f"{scheme}://{WITHOUT_SCHEME.sub('', rest) if '@' not in line else rest}"
    if ":" in word.split("@")[0]:  # a password may hold spaces
        rest = rest[line.rindex("@") + 1 :]
    elif "@" in word:
        rest = rest[word.rindex("@") + 1 :]
    return f"{scheme}://{WITHOUT_SCHEME.sub('', rest)}"


def _is_path(scheme: str, rest: str) -> bool:
    """Whether an address names a file of this machine, whose name may hold an ``@``."""
    return scheme.split("+")[0] in ("file", "sqlite") and rest.startswith("/")
