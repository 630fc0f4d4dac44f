"""Tokens of an OpenID Connect provider in the place of API keys.

Only asymmetric signatures count, so that what anybody can read (the provider's public keys) signs
nothing, and the algorithm is the key's, whatever a token says (RFC 8725).
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt

from cortex_pipelines.serving.security.access import Caller
from cortex_pipelines.serving.security.keys import ApiKeyError
from cortex_pipelines.serving.security.roles import ROLES, scopes_of
from cortex_pipelines.serving.settings import OidcSettings

_LOG = logging.getLogger("cortex_pipelines")

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
PREFIX: Final = "oidc:"
"""Before a subject in the audit log; no API key's name has a colon."""

_JWT = jwt.PyJWT({"enforce_minimum_key_length": True})
_LEEWAY = 30
"""Seconds that two clocks may be apart."""

_FRESH, _STALE = 600.0, 3600.0
"""Seconds after which keys are fetched again, and after which old ones count no longer."""

_PAUSE = 30.0
"""Seconds between two fetches, so that made-up key ids cannot have the provider flooded."""

_LARGEST = 1 << 20
_LONGEST_SUBJECT = 255


class TokenError(ApiKeyError):
    """A token is not accepted; the message says why."""


class ProviderError(RuntimeError):
    """The provider's keys cannot be had, so no token can be verified."""


class Provider:
    """Verifies tokens of one provider.

    Args:
        settings: The provider, and where a token says what its subject may do.
        root: Folder that a file of keys is relative to.
        clock: Seconds.
    """

    def __init__(
        self, settings: OidcSettings, root: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._file = None if "://" in settings.jwks else root / settings.jwks
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._got = self._tried = -_STALE * 2

    def caller(self, token: str) -> Caller:
        """Whom a token is of, and what they may ask for.

        Raises:
            TokenError: it is not valid, or not for this gateway.
            ProviderError: the provider's keys cannot be had.
        """
        claims = self._verified(token)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise TokenError("the token's subject (sub) is no text of 1 to 255 characters")
        name = PREFIX + subject
        projects: tuple[str, ...] = ()
        if (claim := self._settings.project_claim) is not None:
            projects = tuple(_texts(claims, claim))
            if not projects:
                raise TokenError(f"the token names no project in its claim {claim}", name)
        mapping: Mapping[str, str] = self._settings.roles or {role: role for role in ROLES}
        given = _texts(claims, self._settings.role_claim)
        roles = {mapping[value] for value in given if value in mapping}
        return Caller(name, scopes_of(roles), projects)

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid", "")
            if algorithm not in ALGORITHMS:
                raise TokenError(
                    f"the token is signed by {str(algorithm)[:20]}; accepted: "
                    f"{', '.join(ALGORITHMS)}"
                )
            claims: dict[str, Any] = _JWT.decode(
                token,
                self._key(str(kid)),
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenError("the token has expired; ask the provider for a new one") from error
        except jwt.InvalidAudienceError as error:
            wanted = f"it has to be for {self._settings.audience}"
            raise TokenError(f"the token is for another audience (aud); {wanted}") from error
        except jwt.InvalidIssuerError as error:
            wanted = f"it has to be of {self._settings.issuer}"
            raise TokenError(f"the token is of another issuer (iss); {wanted}") from error
        except jwt.PyJWTError as error:
            raise TokenError(f"the token is not valid: {error}") from error
        return claims

    def _key(self, kid: str) -> jwt.PyJWK:
        """The key of an id, or the only one for a token without."""
        with self._lock:
            age = self._clock() - self._got
            if self._file is not None or age > _FRESH or kid not in self._keys:
                self._renew()
            if self._clock() - self._got > _STALE:
                raise ProviderError("the keys of the OpenID provider cannot be had")
            known = self._keys
        if not kid and len(known) == 1:
            return next(iter(known.values()))
        if kid not in known:
            raise TokenError("the token's key (kid) is none of the provider's")
        return known[kid]

    def _renew(self) -> None:
        """Read or fetch the keys; those of before stay where that fails."""
        now = self._clock()
        if self._file is None and now - self._tried < _PAUSE:
            return
        self._tried = now
        try:
            content = self._file.read_bytes() if self._file else _fetched(self._settings.jwks)
            self._keys = _keys(json.loads(content))
            self._got = self._clock()
        except (OSError, ValueError, LookupError, httpx2.HTTPError) as error:
            # a file that can no longer be read is no reason to trust what it held
            self._got = -_STALE * 2 if self._file else self._got
            _LOG.error("keys of %s: %s: %s", self._settings.jwks, type(error).__name__, error)


def _fetched(address: str) -> bytes:
    content = b""
    with httpx2.stream("GET", address, timeout=5, follow_redirects=False) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            content += part
            if len(content) > _LARGEST:
                raise ValueError(f"more than {_LARGEST} bytes")
    return content


def _keys(content: Any) -> dict[str, jwt.PyJWK]:
    """Public keys for signatures by their ids; others in the set are passed over.

    Raises:
        ValueError: there is none.
    """
    listed = content.get("keys") if isinstance(content, dict) else None
    made = {}
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:  # of a kind that this library does not know
            continue
        if key.algorithm_name in ALGORITHMS:
            made[str(entry.get("kid", ""))] = key
    if not made:
        raise ValueError("no public key for signatures in it")
    return made


def _texts(claims: Mapping[str, Any], path: str) -> list[str]:
    """Texts of a claim, which may lie in others: ``realm_access.roles``."""
    value: Any = claims
    # a name with dots in it, such as an address, is taken as it is where there is one
    for part in [path] if path in claims else path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    listed = value.split() if isinstance(value, str) else value
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
