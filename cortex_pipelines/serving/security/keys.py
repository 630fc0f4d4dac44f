"""API keys of the gateway, with scopes and expiry.

A key is 256 random bits, so it cannot be brute-forced from its hash: a salted BLAKE2b suffices,
where a password would need a slow hash, and costs microseconds per request instead of tens of
milliseconds. The key itself is shown once and never stored.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cortex_pipelines.atomic import atomic_file, folder_lock
from cortex_pipelines.serving.security.access import DEFAULT_ROLE, ROLES, SCOPES, scopes_of

FILE = "api.json"
_PREFIX = "cortex-"
"""Identifies a key to people and secret scanners."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class ApiKeyError(ValueError):
    """A key cannot be created, revoked, read or used; ``name`` is its name, if known."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class KeysDamagedError(ApiKeyError):
    """The file of keys cannot be read, so no request can be authenticated."""


@dataclass(frozen=True)
class ApiKey:
    """A stored key; times in ISO 8601, salt and digest in hexadecimal; ``scopes`` add to those of the role."""

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
        return scopes_of([self.role] if self.role else [], self.scopes)

    def state(self, current_time: datetime) -> str:
        if self.revoked is not None:
            return "revoked"
        expired = self.expires is not None and datetime.fromisoformat(self.expires) <= current_time
        return "expired" if expired else "valid"


class KeyRing:
    """The keys in a folder; reread when another process changes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file_state: tuple[int, int, int] | None = None
        self._cached_keys: tuple[ApiKey, ...] = ()

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys by name, including expired and revoked ones; raises KeysDamagedError."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._file_state, self._cached_keys = None, ()
            return ()
        file_state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if file_state != self._file_state:
            keys = []
            try:
                for row in json.loads(self._path.read_text(encoding="utf-8"))["keys"]:
                    values = {field.name: row[field.name] for field in fields(ApiKey) if field.name in row}
                    values |= {name: tuple(values.get(name, ())) for name in ("scopes", "projects", "models")}
                    key = ApiKey(**values)
                    key.state(datetime.now(UTC))  # raises on an invalid time
                    scopes_of([key.role] if key.role else [])  # or role
                    bytes.fromhex(key.salt)
                    keys.append(key)
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise KeysDamagedError(
                    f"{self._path} cannot be read ({type(error).__name__}: {error}); bring it back, or "
                    "delete it, which ends all keys"
                ) from error
            self._cached_keys = tuple(keys)
            self._file_state = file_state
        return self._cached_keys

    @property
    def usable(self) -> bool:
        current_time = datetime.now(UTC)
        return any(key.state(current_time) == "valid" for key in self.keys)

    def create(
        self,
        name: str,
        scopes: Sequence[str] = (),
        projects: Sequence[str] = (),
        lifetime: timedelta | None = None,
        role: str = "",
        models: Sequence[str] = (),
    ) -> str:
        """Create a key and store its hash; returns the key, which cannot be recovered later.

        ``scopes`` are in addition to the role's; without both, the default role. ``lifetime`` None is for ever.
        ApiKeyError: the name is taken or invalid, or a scope or role is unknown.
        """
        if not _NAME.fullmatch(name):
            raise ApiKeyError(f"{name[:80]!r} is not a valid key name. Use 1 to 64 letters, digits, _, ., @ and -")
        if unknown := sorted(set(scopes) - set(SCOPES)):
            raise ApiKeyError(f"no scope {', '.join(unknown)}; there is: {', '.join(SCOPES)}")
        role = role or ("" if scopes else DEFAULT_ROLE)
        if role and role not in ROLES:
            raise ApiKeyError(f"no role {role[:80]}; there is: {', '.join(ROLES)}")
        token = _PREFIX + secrets.token_urlsafe(32)
        salt = secrets.token_bytes(16)
        created_at = datetime.now(UTC)
        api_key = ApiKey(
            name,
            salt.hex(),
            _digest(token, salt),
            tuple(scope for scope in SCOPES if scope in scopes),
            tuple(sorted(set(projects))),
            created_at.isoformat(timespec="seconds"),
            (created_at + lifetime).isoformat(timespec="seconds") if lifetime is not None else None,
            role=role,
            models=tuple(sorted(set(models))),
        )
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise ApiKeyError(
                    f"there was a key {name} already, which the audit log knows by that name; take another name"
                )
            keys.append(api_key)
        return token

    def revoke(self, name: str) -> None:
        with self._changing() as keys:
            names = [key.name for key in keys]
            if name not in names:
                raise ApiKeyError(f"no key {name}; there is: {', '.join(names) or 'none'}")
            key = keys[names.index(name)]
            revoked_at = key.revoked or datetime.now(UTC).isoformat(timespec="seconds")
            keys[names.index(name)] = replace(key, revoked=revoked_at)

    def forget(self, is_subject: Callable[[str], bool]) -> int:
        if not any(is_subject(key.name) for key in self.keys):
            return 0
        with self._changing() as keys:
            before = len(keys)
            keys[:] = [key for key in keys if not is_subject(key.name)]
            return before - len(keys)

    def find(self, token: str) -> ApiKey:
        """Look up a valid key; ApiKeyError if unknown, expired or revoked."""
        current_time = datetime.now(UTC)
        for key in self.keys:
            if hmac.compare_digest(_digest(token, bytes.fromhex(key.salt)), key.digest):
                if (state := key.state(current_time)) != "valid":
                    raise ApiKeyError(f"the API key {key.name} is {state}; ask for a new one", key.name)
                return key
        raise ApiKeyError("the API key is not known here; `cortex keys create NAME` makes one")

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with folder_lock(self._path.parent):
            keys = list(self.keys)
            yield keys
            rows = [asdict(key) for key in sorted(keys, key=lambda key: key.name)]
            with atomic_file(self._path) as scratch:
                scratch.chmod(0o600)  # before anything is in it
                scratch.write_text(json.dumps({"keys": rows}, indent=1) + "\n", encoding="utf-8")


def _digest(token: str, salt: bytes) -> str:
    text = token.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=32, salt=salt, person=b"cortex-api-key").hexdigest()
