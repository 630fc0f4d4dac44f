"""Sign in OpenSSF's model-signing format, which its own tool verifies.

These signatures exist next to this project's manifest and signature, cover both, and use a separate
key: the format supports ECDSA on NIST curves but not Ed25519. Signing is local, without certificate
or transparency log. https://github.com/ossf/model-signing-spec
"""

from importlib.util import find_spec
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.signing.keys import keys_folder, only_readable_here, write_key
from cortex_pipelines.signing.manifest import UntrustedModelError

OPENSSF_SIGNATURE = "model.sig"
OPENSSF_PUBLIC_KEY = "openssf.pub"
_PRIVATE_KEY = "openssf.key"


def require_signer() -> None:
    """Raise if the optional signing package is missing.

    Raises:
        UntrustedModelError: the package is not installed.
    """
    if find_spec("model_signing") is None:
        raise UntrustedModelError(
            "signatures in OpenSSF's form need the package model-signing: `pip install 'cortex-pipelines[signing]'`"
        )


def sign_openssf(root: Path, folder: Path) -> Path:
    """Sign every file of a folder; the signature is ``model.sig`` in it.

    Args:
        root: Project whose key signs; created on first use.
        folder: The files.

    Returns:
        Path of the public key, in PEM, for those who verify.

    Raises:
        UntrustedModelError: the package is not installed, or others can read the key.
    """
    require_signer()
    from model_signing import hashing, signing

    private, public = _keys(root)
    signature_path = folder / OPENSSF_SIGNATURE
    config = hashing.Config().set_ignored_paths(paths=[OPENSSF_SIGNATURE])  # type: ignore[no-untyped-call]
    signer = signing.Config().set_hashing_config(config)  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=private).sign(folder, signature_path)
    return public


def _keys(root: Path) -> tuple[Path, Path]:
    """Paths of the private and public key files."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    private = keys_folder(root) / _PRIVATE_KEY
    public = private.with_name(OPENSSF_PUBLIC_KEY)
    if not private.exists():
        write_key(private, generate_private_key(SECP256R1()))
    only_readable_here(private)
    key = load_pem_private_key(private.read_bytes(), password=None).public_key()
    write_whole(public, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
