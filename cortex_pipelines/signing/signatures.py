"""Sign manifests with the project's Ed25519 key, and verify against trusted keys.

A signature is local: it states "this project released these files", is not part of any versioned
output, and is stored next to the caches; the registry and every export get a copy.
"""

import base64
import json
from importlib.util import find_spec
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.signing.keys import (
    fingerprint,
    keys_folder,
    known_keys,
    only_readable_here,
    private_key,
    write_key,
)
from cortex_pipelines.signing.manifest import MANIFEST, Manifest, UntrustedModelError, compare, make_manifest
from cortex_pipelines.versioning.content import content_md5

OPENSSF_SIGNATURE = "model.sig"
OPENSSF_PUBLIC_KEY = "openssf.pub"
_PRIVATE_KEY = "openssf.key"


def require_signer() -> None:
    if find_spec("model_signing") is None:
        raise UntrustedModelError(
            "signatures in OpenSSF's form need the package model-signing: `pip install 'cortex-pipelines[signing]'`"
        )


def sign_openssf(root: Path, folder: Path) -> Path:
    """Sign every file of a folder by ``model.sig`` in it; the path of the public key for those who verify."""
    require_signer()
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from model_signing import hashing, signing

    private = keys_folder(root) / _PRIVATE_KEY
    public = private.with_name(OPENSSF_PUBLIC_KEY)
    if not private.exists():
        write_key(private, generate_private_key(SECP256R1()))
    only_readable_here(private)
    key = load_pem_private_key(private.read_bytes(), password=None).public_key()
    write_whole(public, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signature_path = folder / OPENSSF_SIGNATURE
    config = hashing.Config().set_ignored_paths(paths=[OPENSSF_SIGNATURE])  # type: ignore[no-untyped-call]
    signer = signing.Config().set_hashing_config(config)  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=private).sign(folder, signature_path)
    return public


SIGNATURE = "manifest.sig"
SIGNED = (MANIFEST, SIGNATURE)


def sign_version(root: Path, folder: Path, model: str, version: str, base: dict[str, str] | None) -> Path:
    """Sign the files of a version after checking its hash; the folder of the files in ``SIGNED``."""
    if content_md5(folder) != version:
        raise UntrustedModelError(f"{model}: {folder} no longer contains version {version}; it was not signed")
    signature_folder = signed_folder(root, model, version)
    signature_folder.mkdir(parents=True, exist_ok=True)
    write_signed(root, make_manifest(folder, model, version, base), signature_folder)
    return signature_folder


def write_signed(root: Path, manifest: Manifest, out: Path) -> None:
    """Write a manifest and its signature by this project's key."""
    data = manifest.to_bytes()
    write_whole(out / MANIFEST, data)
    write_whole(out / SIGNATURE, _signature_of(root, data))


def sign_file(root: Path, path: Path) -> None:
    """Sign a file with this project's key; the signature is written next to it."""
    write_whole(signature_path(path), _signature_of(root, path.read_bytes()))


def verify_file(root: Path, path: Path) -> bytes:
    """Content of a file that is signed by a trusted key."""
    if not signature_path(path).is_file():
        raise UntrustedModelError(f"no {signature_path(path)}, the signature of {path.name}")
    data = path.read_bytes()
    _check_signature(root, data, signature_path(path), path)
    return data


def signature_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def verify(root: Path, folder: Path, signed: Path, model: str | None = None, version: str | None = None) -> Manifest:
    """Verify a model's files against a manifest signed by a trusted key."""
    missing = [name for name in SIGNED if not (signed / name).is_file()]
    if missing:
        raise UntrustedModelError(
            f"{model or folder.name}: no {' and no '.join(missing)} in {signed}; "
            "`cortex sync` signs the versions that dvc.lock holds"
        )
    data = (signed / MANIFEST).read_bytes()
    _check_signature(root, data, signed / SIGNATURE, signed / MANIFEST)
    manifest = Manifest.from_bytes(data)
    for field, expected, signed_for in (("model", model, manifest.model), ("version", version, manifest.version)):
        if expected is not None and expected != signed_for:
            raise UntrustedModelError(f"the manifest in {signed} is for the {field} {signed_for}, not for {expected}")
    excluded = (*SIGNED, OPENSSF_SIGNATURE) if signed == folder else ()
    compare(folder, manifest, leave_out=excluded)
    return manifest


def signed_folder(root: Path, model: str, version: str) -> Path:
    return root / ".cortex" / "signed" / model / version


def _signature_of(root: Path, data: bytes) -> bytes:
    key = private_key(root)
    return _signature_bytes(fingerprint(key.public_key()), key.sign(data))


def _signature_bytes(mark: str, signature: bytes) -> bytes:
    value = {"algorithm": "ed25519", "key": mark, "signature": base64.b64encode(signature).decode()}
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _check_signature(root: Path, data: bytes, path: Path, signed_path: Path) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        text = path.read_bytes()
        content = json.loads(text)
        mark, signature = str(content["key"]), base64.b64decode(content["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UntrustedModelError(f"{path} is not a signature ({type(error).__name__})") from error
    trusted = known_keys(root)
    if mark not in trusted:
        raise UntrustedModelError(
            f"{path} is by the unknown key {mark}; if its owner confirms this fingerprint, `cortex verify … --trust "
            "FILE` takes their public key; if it is your own, put .cortex/keys back, or sign again by `cortex sync`"
        )
    if text != _signature_bytes(mark, signature):
        raise UntrustedModelError(f"{path} is not in canonical form: it was modified")
    try:
        trusted[mark].verify(signature, data)
    except InvalidSignature:
        raise UntrustedModelError(
            f"{signed_path} does not match the signature of key {mark}: it was modified"
        ) from None
