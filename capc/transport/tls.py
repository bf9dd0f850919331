"""TLS 1.3 between parties that know each other's certificates in advance.

Under `capc run` each party makes a key pair at start, and the private key never touches the disk.
Between machines a party keeps its key pair in files of its own (`identity_file`). Certificates are
public and exchanged out of band. A connection is accepted only when the peer
proves possession of the key of one pinned certificate, which also says who it is. No certificate
may sign another. Two parties may also agree on a key that no message carries.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from capc.errors import ProtocolError

_LIFETIME = datetime.timedelta(days=30)
_CLOCK_SKEW = datetime.timedelta(hours=24)


@dataclass(frozen=True, repr=False)
class Identity:
    """A party's certificate (public, PEM) and private key (PEM, kept in memory)."""

    party: str
    certificate: str
    _private_key: bytes

    @classmethod
    def create(cls, party: str, lifetime: datetime.timedelta = _LIFETIME) -> Identity:
        """A fresh P-256 key and a self-signed certificate for the named party."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(
            party,
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def __repr__(self) -> str:
        return f"Identity({self.party!r})"

    @property
    def private_key(self) -> bytes:
        """The private key, PEM: for a file that its owner alone can read, and nothing else."""
        return self._private_key

    def server_context(self, peers: Mapping[str, str]) -> ssl.SSLContext:
        """Accepts only the named peers (party name -> certificate, PEM)."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER, peers)
        context.num_tickets = 0
        return context

    def client_context(self, peers: Mapping[str, str]) -> ssl.SSLContext:
        """Connects only to the named peers (party name -> certificate, PEM)."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, peers)

    def agreed_key(self, certificate: str, purpose: bytes) -> bytes:
        """32 bytes that only this party and the owner of the certificate (PEM) can compute.

        Diffie-Hellman on P-256, through HKDF-SHA256; other purposes give independent keys. With key
        pairs that outlive a run, the purpose has to name the run. Raises ProtocolError for a
        certificate with another kind of key.
        """
        own = serialization.load_pem_private_key(self._private_key, password=None)
        theirs = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        curve = ec.SECP256R1.name
        if (
            not isinstance(own, ec.EllipticCurvePrivateKey)
            or not isinstance(theirs, ec.EllipticCurvePublicKey)
            or theirs.curve.name != curve
        ):
            raise ProtocolError("a peer's certificate holds no P-256 key")
        pair = b"\0".join(sorted((self.certificate.encode(), certificate.encode())))
        derive = HKDF(hashes.SHA256(), length=32, salt=None, info=purpose + b"\0" + pair)
        return derive.derive(own.exchange(ec.ECDH(), theirs))

    def _context(self, protocol: int, peers: Mapping[str, str]) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the pinned certificate says more than a name
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata="".join(peers.values()))
        self._load_key(context)
        return context

    def _load_key(self, context: ssl.SSLContext) -> None:
        """The ssl module reads keys from files alone: give it one that lives in memory."""
        descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(self._private_key + self.certificate.encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)


def fingerprint(certificate: str) -> str:
    """SHA-256 of a certificate (PEM), as people compare it; ValueError for what is none."""
    return f"sha256:{hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()}"


def peer_name(connection: ssl.SSLSocket, peers: Mapping[str, str]) -> str:
    """Which of the pinned peers is at the other end; ProtocolError when none is."""
    presented = connection.getpeercert(binary_form=True)
    for party, certificate in peers.items():
        if presented == ssl.PEM_cert_to_DER_cert(certificate):
            return party
    raise ProtocolError("a peer presented a certificate that was not announced")
