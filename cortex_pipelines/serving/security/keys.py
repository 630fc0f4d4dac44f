"""API keys of the gateway: who may ask for what, and until when.

A key is 256 random bits, so nobody can guess it from its hash, however fast that is computed: a
salted BLAKE2b is enough, where a password would need a slow hash, and costs a request microseconds
instead of tens of milliseconds. The key itself is shown once and kept nowhere.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.serving.security.roles import ROLES, SCOPES, USUAL, scopes_of

FILE = "api.json"
_PREFIX = "cortex-"
"""Lets a scanner of secrets, and a person, tell what a key is for."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class ApiKeyError(ValueError):
    """A key cannot be made, revoked, read or used; the message says why.

    Args:
        message: Why.
        name: Whose key it is, if that is known.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class KeysDamagedError(ApiKeyError):
    """The file of the keys cannot be read, so nobody can be let in."""


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key.

    Args:
        name: Whose it is; stands in the audit log.
        salt: Hexadecimal.
        digest: Salted hash of the key, hexadecimal.
        scopes: Of ``SCOPES``, besides those of its role.
        projects: Projects whose models it may use; with ``models`` empty, too, all may be used.
        created: ISO 8601.
        expires: ISO 8601; None for never.
        revoked: When it was revoked, ISO 8601; None if it was not.
        role: Of ``ROLES``; empty for none.
        models: Served names that it may use besides.
    """

    name: str
    salt: str
    digest: str
    scopes: tuple[str, ...]
    projects: tuple[str, ...]
    created: str
    expires: str | None = None
    revoked: str | None = None
    role: str = ""
    models: tuple[str, ...] = ()

    @property
    def allowed(self) -> frozenset[str]:
        """Every scope that it has."""
        return scopes_of([self.role] if self.role else [], self.scopes)

    def state(self, now: datetime) -> str:
        """``revoked``, ``expired`` or ``valid``."""
        if self.revoked is not None:
            return "revoked"
        expired = self.expires is not None and datetime.fromisoformat(self.expires) <= now
        return "expired" if expired else "valid"


class KeyRing:
    """The keys in a folder; a change by another process counts from the next look on.

    Args:
        folder: ``.cortex/keys`` of a project.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int, int] | None = None
        self._known: tuple[ApiKey, ...] = ()

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys by name, also those that are no longer valid.

        Raises:
            KeysDamagedError: the file cannot be read.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._known = None, ()
            return ()
        now = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if now != self._seen:
            self._known = self._read()
            self._seen = now
        return self._known

    @property
    def usable(self) -> bool:
        """Whether any key is valid now."""
        now = datetime.now(UTC)
        return any(key.state(now) == "valid" for key in self.keys)

    def create(
        self,
        name: str,
        scopes: Sequence[str] = (),
        projects: Sequence[str] = (),
        lifetime: timedelta | None = None,
        role: str = "",
        models: Sequence[str] = (),
    ) -> str:
        """Make a key and keep its hash.

        Args:
            name: Whose it is.
            scopes: Besides those of the role.
            projects: Projects whose models it may use.
            lifetime: For how long; None for ever.
            role: Of ``ROLES``; without role and scopes the usual one.
            models: Served names that it may use besides the projects'; neither for all.

        Returns:
            The key, which cannot be had again.

        Raises:
            ApiKeyError: the name is taken, or is none; there is no such scope or role.
        """
        if not _NAME.fullmatch(name):
            raise ApiKeyError(
                f"{name[:80]!r} is no name of a key: 1 to 64 letters, digits, _, ., @ and -"
            )
        if unknown := sorted(set(scopes) - set(SCOPES)):
            raise ApiKeyError(f"no scope {', '.join(unknown)}; there is: {', '.join(SCOPES)}")
        role = role or ("" if scopes else USUAL)
        if role and role not in ROLES:
            raise ApiKeyError(f"no role {role[:80]}; there is: {', '.join(ROLES)}")
        token = _PREFIX + secrets.token_urlsafe(32)
        salt = secrets.token_bytes(16)
        now = datetime.now(UTC)
        made = ApiKey(
            name,
            salt.hex(),
            _digest(token, salt),
            tuple(scope for scope in SCOPES if scope in scopes),
            tuple(sorted(set(projects))),
            now.isoformat(timespec="seconds"),
            (now + lifetime).isoformat(timespec="seconds") if lifetime is not None else None,
            role=role,
            models=tuple(sorted(set(models))),
        )
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise ApiKeyError(
                    f"there was a key {name} already, which the audit log knows by that name; "
                    "take another name"
                )
            keys.append(made)
        return token

    def revoke(self, name: str) -> None:
        """Let a key count no longer; it stays listed.

        Raises:
            ApiKeyError: there is none of that name.
        """
        with self._changing() as keys:
            places = [place for place, key in enumerate(keys) if key.name == name]
            if not places:
                known = ", ".join(key.name for key in keys) or "none"
                raise ApiKeyError(f"no key {name}; there is: {known}")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            keys[places[0]] = replace(keys[places[0]], revoked=keys[places[0]].revoked or now)

    def forget(self, whose: Callable[[str], bool]) -> int:
        """Delete keys by their names, which ends them; returns how many."""
        if not any(whose(key.name) for key in self.keys):
            return 0
        with self._changing() as keys:
            before = len(keys)
            keys[:] = [key for key in keys if not whose(key.name)]
            return before - len(keys)

    def find(self, token: str) -> ApiKey:
        """The valid key that this is.

        Raises:
            ApiKeyError: it is none, or no longer.
        """
        now = datetime.now(UTC)
        for key in self.keys:
            if hmac.compare_digest(_digest(token, bytes.fromhex(key.salt)), key.digest):
                if (state := key.state(now)) != "valid":
                    words = f"the API key {key.name} is {state}; ask for a new one"
                    raise ApiKeyError(words, key.name)
                return key
        raise ApiKeyError("the API key is not known here; `cortex keys create NAME` makes one")

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))["keys"]
            return tuple(_key(row) for row in rows)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise KeysDamagedError(
                f"{self._path} cannot be read ({type(error).__name__}: {error}); bring it back, or "
                "delete it, which ends all keys"
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        """The keys to be changed, while no other process changes them."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            keys = list(self.keys)
            yield keys
            rows = [asdict(key) for key in sorted(keys, key=lambda key: key.name)]
            with atomic_file(self._path) as scratch:
                scratch.chmod(0o600)  # before anything is in it
                scratch.write_text(json.dumps({"keys": rows}, indent=1) + "\n", encoding="utf-8")
        finally:
            os.close(handle)


def _key(row: dict[str, Any]) -> ApiKey:
    given = {field.name: row[field.name] for field in fields(ApiKey) if field.name in row}
    lists = ("scopes", "projects", "models")
    key = ApiKey(**given | {name: tuple(given.get(name, ())) for name in lists})
    key.state(datetime.now(UTC))  # raises where the time is none
    scopes_of([key.role] if key.role else [])  # or the role
    bytes.fromhex(key.salt)
    return key


def _digest(token: str, salt: bytes) -> str:
    text = token.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=32, salt=salt, person=b"cortex-api-key").hexdigest()
