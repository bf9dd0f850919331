"""The wire format: every message is one frame with a type, a version and a bounded length.

Header, 16 bytes, little endian: magic "CaPC", version (1 byte), type (1 byte), zero (2 bytes),
payload length in bytes (8 bytes). The payload follows. TLS below it gives integrity.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from capc.errors import ProtocolError

MAGIC = b"CaPC"
VERSION = 1
HEADER = struct.Struct("<4sBBHQ")


class MessageType(IntEnum):
    """What a frame carries; the names are those of the protocol's steps."""

    HELLO = 1  # who is speaking
    PLAN = 2  # the shape of the answering party's network, its ring, no weights
    PUBLIC_KEY = 3  # of the querying party
    QUERY = 4  # the next batch of queries
    MASKED_SHARE = 5  # steps 1a and 1b: a share of a linear layer's input, less its mask
    CIPHERTEXT = 6  # offline: that mask, encrypted, or its encrypted product
    CIRCUIT = 7  # garbled circuits: oblivious transfers, tables, labels
    PROGRAM = 8  # where and under which key a circuit program listens
    VOTE_SHARE = 9  # step 2: an answering party's share for the privacy guardian
    ADMISSION = 10  # how many queries the privacy budget still admits
    UNENCRYPTED_QUERY = 11  # under --cpu; under he-transformer, a tensor that is not encrypted
    LOGIT_SHARE = 12  # step 1b without encryption, only under --cpu
    KEY_SEED = 13  # of the answering party, for its half of the public key
    PROBE = 14  # nothing but its size: how fast the line is
    PRESENT = 15  # an answering party can send its share: what its masks are to depend on
    VOTERS = 16  # whose shares are added up, where not all answering parties answer
    LASTING = 17  # the key by which a connection that was cut is found again; that it has come
    RESUME = 18  # the first message on the connection that takes its place
    SUPERVISION = 19  # between a driver and what starts parties for it on another machine


def encode_header(message_type: MessageType, length: int) -> bytes:
    """The 16 bytes before a payload of `length` bytes."""
    return HEADER.pack(MAGIC, VERSION, message_type, 0, length)


def decode_header(header: bytes | bytearray | memoryview) -> tuple[MessageType, int]:
    """Type and payload length in bytes; anything else than this version's header raises."""
    if len(header) != HEADER.size:
        raise ProtocolError(f"a frame header has {HEADER.size} bytes, not {len(header)}")
    magic, version, message_type, zero, length = HEADER.unpack(header)
    if magic != MAGIC:
        raise ProtocolError(
            "the peer does not speak this protocol: its message starts with no valid header"
        )
    if version != VERSION:
        raise ProtocolError(
            f"the peer speaks version {version} of the protocol and this program version "
            f"{VERSION}; run the same release on both sides"
        )
    if zero != 0 or message_type not in MessageType._value2member_map_:
        raise ProtocolError(f"the peer sent a frame of unknown type {message_type}")
    return MessageType(message_type), int(length)
