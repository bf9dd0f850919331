"""A party's key pair: private on the disk, and the very one that its name and certificate say."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.transport.identity_file import load_identity, save_identity
from capc.transport.tls import Identity, fingerprint


def saved(folder: Path, identity: Identity) -> tuple[Path, Path]:
    key, certificate = folder / "own.key", folder / "own.crt"
    save_identity(identity, key, certificate)
    return key, certificate


def test_a_pair_is_there_and_back_and_its_key_private(tmp_path: Path) -> None:
    identity = Identity.create("guardian")
    key, certificate = saved(tmp_path, identity)
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_identity("guardian", key, certificate) == identity


def test_a_pair_is_never_written_over(tmp_path: Path) -> None:
    key, certificate = saved(tmp_path, Identity.create("guardian"))
    before = key.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        save_identity(Identity.create("guardian"), key, certificate)
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda key, _: key.chmod(0o640), "that others can read"),
        (lambda key, _: key.write_bytes(Identity.create("x").private_key), "does not belong"),
        (lambda _, certificate: certificate.write_text("nothing"), "do not hold a key"),
        (lambda _, certificate: certificate.unlink(), "cannot be read"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    key, certificate = saved(tmp_path, Identity.create("guardian"))
    spoil(key, certificate)
    with pytest.raises(ConfigError, match=said):
        load_identity("guardian", key, certificate)


def test_another_partys_pair_is_refused(tmp_path: Path) -> None:
    key, certificate = saved(tmp_path, Identity.create("querying"))
    with pytest.raises(ConfigError, match="of guardian"):
        load_identity("guardian", key, certificate)


def test_an_expired_pair_is_refused(tmp_path: Path) -> None:
    key, certificate = saved(tmp_path, Identity.create("guardian", -datetime.timedelta(hours=1)))
    with pytest.raises(ConfigError, match="has expired"):
        load_identity("guardian", key, certificate)


def test_the_fingerprint_is_of_the_certificate() -> None:
    one, other = Identity.create("guardian"), Identity.create("guardian")
    assert fingerprint(one.certificate) != fingerprint(other.certificate)
    assert len(fingerprint(one.certificate)) == len("sha256:") + 64
