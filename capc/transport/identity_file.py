"""A party's key pair in files of its own: made once, its certificate shown to the other parties.

The private key lies in a file that its owner alone can read. What the others need is the
certificate, and its fingerprint to compare by another way, such as a telephone.
"""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from capc.errors import ConfigError
from capc.files import EVERYONE, read_bounded, write_whole
from capc.transport.tls import Identity

LIFETIME = datetime.timedelta(days=730)
_MOST_BYTES = 1 << 14


def save_identity(identity: Identity, key: Path, certificate: Path) -> None:
    """Write both files, the key as its owner's alone. ConfigError where one is there already."""
    for path in (key, certificate):
        if path.exists():
            raise ConfigError(f"{path} is there already: a key is made once; remove it to renew it")
    write_whole(key, identity.private_key)
    write_whole(certificate, identity.certificate, mode=EVERYONE)


def load_identity(party: str, key: Path, certificate: Path) -> Identity:
    """The key pair of `party`.

    Raises ConfigError for a key that others may read, for files that are no such pair, for the
    certificate of another party, and for one that has expired.
    """
    private, public = _content(key), _content(certificate)
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{key} holds a private key that others can read: chmod 600 it")
    try:
        found = x509.load_pem_x509_certificate(public)
        same = load_pem_private_key(private, password=None).public_key() == found.public_key()
    except (TypeError, ValueError):
        raise ConfigError(f"{key} and {certificate} do not hold a key and a certificate") from None
    if not same:
        raise ConfigError(f"{certificate} does not belong to the key in {key}")
    owners = [name.value for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if owners != [party]:
        raise ConfigError(f"{certificate} is the certificate of {owners}, not of {party}")
    if found.not_valid_after_utc <= datetime.datetime.now(datetime.timezone.utc):
        raise ConfigError(
            f"{certificate} has expired: make a new one (capc party init), and exchange it"
        )
    return Identity(party, public.decode(), private)


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path, _MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
