"""Tokens of an OpenID Connect provider as an alternative to API keys.

Only asymmetric signatures are accepted, so that the provider's public keys cannot sign, and the
algorithm is taken from the key, not from the token (RFC 8725).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from cortex_pipelines.serving.security.access import ROLES, Principal, scopes_of
from cortex_pipelines.serving.security.keys import ApiKeyError
from cortex_pipelines.serving.settings import OidcSettings

_LOG = logging.getLogger("cortex_pipelines")

ALGORITHMS: Final = (*("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), *("ES256", "ES384", "ES512", "EdDSA"))
PREFIX: Final = "oidc:"
"""Prefix of a subject in the audit log; names of API keys have no colon."""

_JWT = jwt.PyJWT({"enforce_minimum_key_length": True})
_LEEWAY = 30
"""Tolerated clock skew in seconds."""

_FRESH, _STALE = 600.0, 3600.0
"""Seconds until keys are refetched, and until old ones expire."""

_PAUSE = 30.0
"""Seconds between fetches, so that made-up key ids cannot flood the provider."""

_LONGEST_SUBJECT = 255


class TokenError(ApiKeyError):
    pass


class ProviderError(RuntimeError):
    """The provider's keys are unavailable, so no token can be verified."""


class Provider:
    """Verifies tokens of one provider; a key file is relative to ``root``."""

    def __init__(self, settings: OidcSettings, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._file = None if "://" in settings.jwks else root / settings.jwks
        self._lock = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._attempted_at = -_STALE * 2

    def caller(self, token: str) -> Principal:
        """Verify a token and return its principal; TokenError, or ProviderError without the provider's keys."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid", "")
            if algorithm not in ALGORITHMS:
                raise TokenError(f"the token is signed by {str(algorithm)[:20]}; accepted: {', '.join(ALGORITHMS)}")
            claims: dict[str, Any] = _JWT.decode(
                token,
                self._key(str(kid)),
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            reasons: dict[type, str] = {
                jwt.ExpiredSignatureError: "has expired; ask the provider for a new one",
                jwt.InvalidAudienceError: f"is for another audience (aud); it has to be for {self._settings.audience}",
                jwt.InvalidIssuerError: f"is of another issuer (iss); it has to be of {self._settings.issuer}",
            }
            raise TokenError(f"the token {reasons.get(type(error), f'is not valid: {error}')}") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise TokenError("the token's subject (sub) is not a text of 1 to 255 characters")
        name = PREFIX + subject
        projects: tuple[str, ...] = ()
        if (claim := self._settings.project_claim) is not None:
            projects = tuple(_texts(claims, claim))
            if not projects:
                raise TokenError(f"the token names no project in its claim {claim}", name)
        mapping: Mapping[str, str] = self._settings.roles or {role: role for role in ROLES}
        claimed_roles = _texts(claims, self._settings.role_claim)
        roles = {mapping[value] for value in claimed_roles if value in mapping}
        return Principal(name, scopes_of(roles), projects)

    def _key(self, kid: str) -> jwt.PyJWK:
        with self._lock:
            age = self._clock() - self._fetched_at
            if self._file is not None or age > _FRESH or kid not in self._keys:
                self._renew()
            if self._clock() - self._fetched_at > _STALE:
                raise ProviderError("the keys of the OpenID provider cannot be had")
            keys = self._keys
        if not kid and len(keys) == 1:
            return next(iter(keys.values()))
        if kid not in keys:
            raise TokenError("the token's key (kid) is not one of the provider's")
        return keys[kid]

    def _renew(self) -> None:
        current_time = self._clock()
        if self._file is None and current_time - self._attempted_at < _PAUSE:
            return
        self._attempted_at = current_time
        try:
            if self._file is not None:
                jwk_set = jwt.PyJWKSet.from_json(self._file.read_text(encoding="utf-8"))
            else:
                jwk_set = jwt.PyJWKClient(self._settings.jwks, cache_jwk_set=False, timeout=5).get_jwk_set()
            keys = {
                key.key_id or "": key
                for key in jwk_set.keys
                if key.public_key_use in (None, "sig") and key.algorithm_name in ALGORITHMS and _is_public(key)
            }
            if not keys:
                raise ValueError("no public key for signatures in it")
            self._keys, self._fetched_at = keys, self._clock()
        except (OSError, ValueError, AttributeError, TypeError, jwt.PyJWTError) as error:
            # do not trust the previous content of a file that became unreadable
            self._fetched_at = -_STALE * 2 if self._file else self._fetched_at
            _LOG.error("keys of %s: %s: %s", self._settings.jwks, type(error).__name__, error)


def _is_public(key: jwt.PyJWK) -> bool:
    return not hasattr(key.key, "private_bytes")


def _texts(claims: Mapping[str, Any], path: str) -> list[str]:
    """Texts of a claim, which may be nested: ``realm_access.roles``."""
    value: Any = claims
    # a claim whose name contains dots, such as a URL, takes precedence
    for part in [path] if path in claims else path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    texts = value.split() if isinstance(value, str) else value
    return [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
