"""Ed25519 keys that sign and verify models, in ``.cortex/keys``, which git and DVC ignore."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.signing.manifest import UntrustedModelError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PUBLIC_KEY = "signing.pub"
_PRIVATE_KEY = "signing.key"
_OTHER_USERS = 0o077


def private_key(root: Path) -> "Ed25519PrivateKey":
    """This project's private key, created on first use."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = keys_folder(root) / _PRIVATE_KEY
    if not path.exists():
        write_key(path, Ed25519PrivateKey.generate())
    only_readable_here(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise UntrustedModelError(f"the signing key {path} cannot be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UntrustedModelError(f"the signing key {path} is not an Ed25519 key")
    public_path, pem = path.with_name(PUBLIC_KEY), _pem(key.public_key())
    if not public_path.exists():
        write_whole(public_path, pem)
    elif public_path.read_bytes() != pem:
        raise UntrustedModelError(
            f"{public_path} does not match {_PRIVATE_KEY} beside it: somebody replaced one of "
            f"the two. If {_PRIVATE_KEY} is yours, delete {PUBLIC_KEY} and it is written again; "
            "another project's key is taken by `cortex verify ... --trust FILE`"
        )
    return key


def trust(root: Path, public_key: Path) -> str:
    """Add another person's public key (PEM) to the trusted ones; its fingerprint, to compare with its owner's."""
    data = public_key.read_bytes()
    mark = fingerprint(_read_public(data, public_key))
    folder = keys_folder(root) / "trusted"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{mark}.pub", data)
    return mark


def public_key(root: Path) -> tuple[str, bytes]:
    """Fingerprint and PEM of this project's public key, created on first use."""
    key = private_key(root).public_key()
    return fingerprint(key), _pem(key)


def fingerprint(key: "Ed25519PublicKey") -> str:
    """SHA-256 of a public key's 32 bytes, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def has_key(root: Path) -> bool:
    return (keys_folder(root) / _PRIVATE_KEY).exists()


def known_keys(root: Path) -> "dict[str, Ed25519PublicKey]":
    """Trusted keys by fingerprint, the own one from the private key, as anybody can write ``signing.pub``."""
    folder = keys_folder(root)
    public_path = folder / PUBLIC_KEY
    keys = {}
    if has_key(root):
        key = private_key(root).public_key()
        keys[fingerprint(key)] = key
    elif public_path.exists():
        raise UntrustedModelError(
            f"{public_path} is without its {_PRIVATE_KEY}, so its owner is unknown; put the "
            f"private key back, or delete {PUBLIC_KEY} and trust it by `cortex verify ... --trust`"
        )
    for path in sorted((folder / "trusted").glob("*.pub")):
        key = _read_public(path.read_bytes(), path)
        if fingerprint(key) != path.stem:
            raise UntrustedModelError(
                f"{path} contains the key {fingerprint(key)}, which differs from its file name; "
                "delete it and trust the key again by `cortex verify ... --trust FILE`"
            )
        keys[path.stem] = key
    return keys


def keys_folder(root: Path) -> Path:
    """Raises UntrustedModelError if the keys are another user's."""
    folder = root / ".cortex" / "keys"
    if folder.exists():
        _require_access(folder, os.R_OK | os.X_OK)
    return folder


def _require_access(path: Path, mode: int) -> None:
    if not os.access(path, mode):
        raise UntrustedModelError(
            f"{path} belongs to another user of this machine (number {path.stat().st_uid}): run this command as that "
            "user, or work in a clone of your own"
        )


def only_readable_here(path: Path) -> None:
    _require_access(path, os.R_OK)
    if path.stat().st_mode & _OTHER_USERS:
        raise UntrustedModelError(
            f"others can read the signing key {path}; `chmod 600` it if nobody has read it, else "
            "delete the folder and `cortex sync` signs with a new one"
        )


def write_key(path: Path, key: "Ed25519PrivateKey | EllipticCurvePrivateKey") -> None:
    """Write a new key readable by this user only; the first writer wins."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(pem)
    with suppress(FileExistsError):  # another process made it meanwhile
        path.hardlink_to(temporary)
    temporary.unlink()


def _pem(key: "Ed25519PublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read_public(data: bytes, path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except ValueError as error:
        raise UntrustedModelError(f"{path} is not a public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UntrustedModelError(f"{path} is not an Ed25519 key")
    return key
