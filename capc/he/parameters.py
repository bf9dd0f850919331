"""Encryption parameters as the JSON of the original programs writes them, checked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import seal

from capc.errors import ConfigError
from capc.files import MAX_JSON_BYTES, parse_json, read_bounded

SCHEME = "HE_SEAL"
DEGREES = (1024, 2048, 4096, 8192, 16384, 32768)
SECURITY_LEVELS = (0, 128, 192, 256)
MAX_PRIME_BITS = 60
MAX_PRIMES = 64

_REQUIRED = ("scheme_name", "poly_modulus_degree", "security_level", "coeff_modulus")
_OPTIONAL = ("scale", "complex_packing")


@dataclass(frozen=True)
class EncryptionParameters:
    """Ring degree, primes (bits each; the last is SEAL's special prime), security level (bits).

    Security level 0 means unchecked. `scale` and `complex_packing` concern CKKS only. Every field
    is checked on construction, and the total size of the primes against the level by SEAL's own
    table; a ConfigError names the field, its value and what is allowed.
    """

    scheme_name: str
    poly_modulus_degree: int
    security_level: int
    coeff_modulus: tuple[int, ...]
    scale: float | None = None
    complex_packing: bool = False

    def __post_init__(self) -> None:
        _check_choice("scheme_name", self.scheme_name, (SCHEME,))
        _check_integer("poly_modulus_degree", self.poly_modulus_degree)
        _check_choice("poly_modulus_degree", self.poly_modulus_degree, DEGREES)
        _check_integer("security_level", self.security_level)
        _check_choice("security_level", self.security_level, SECURITY_LEVELS)
        self._check_primes()
        if self.scale is not None and not (_is_number(self.scale) and 0 < self.scale < 2**120):
            raise ConfigError(f"scale is {self.scale!r}; allowed are numbers above 0, below 2^120")
        if not isinstance(self.complex_packing, bool):
            raise ConfigError(
                f"complex_packing is {self.complex_packing!r}; allowed are true, false"
            )

    @classmethod
    def from_json(cls, source: str) -> EncryptionParameters:
        """Read a JSON object, given as text (it starts with a brace) or as the path of a file."""
        if source.lstrip().startswith("{"):
            return cls.from_text(source)
        try:
            text = read_bounded(source, MAX_JSON_BYTES).decode()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not readable as text"
            raise ConfigError(
                f"cannot read the encryption parameters {source!r}: {reason}; "
                "give a file such as config/10.json, or the JSON itself"
            ) from None
        return cls.from_text(text, source)

    @classmethod
    def from_text(
        cls, text: str, origin: str = "the encryption parameters"
    ) -> EncryptionParameters:
        """Read a JSON object, never a file: for what a peer sends."""
        try:
            fields = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"{origin}: not JSON ({error})") from None
        if not isinstance(fields, dict):
            raise ConfigError(f"{origin}: not a JSON object with the fields {', '.join(_REQUIRED)}")
        return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> EncryptionParameters:
        """The parameters of a parsed JSON object; ConfigError names what is wrong in it."""
        missing = [name for name in _REQUIRED if name not in fields]
        if missing:
            raise ConfigError(
                f"the encryption parameters miss {', '.join(missing)}; "
                f"needed are {', '.join(_REQUIRED)}"
            )
        unknown = [name for name in fields if name not in _REQUIRED + _OPTIONAL]
        if unknown:
            raise ConfigError(
                f"the encryption parameters hold the unknown field {unknown[0]!r}; "
                f"allowed are {', '.join(_REQUIRED + _OPTIONAL)}"
            )
        bits = fields["coeff_modulus"]
        return cls(**{**fields, "coeff_modulus": tuple(bits) if isinstance(bits, list) else bits})

    def to_json(self) -> str:
        """One line that from_json reads back to an equal object."""
        return json.dumps(self.to_fields())

    def to_fields(self) -> dict[str, object]:
        """The JSON object that from_fields reads back to an equal one."""
        fields: dict[str, object] = {
            "scheme_name": self.scheme_name,
            "poly_modulus_degree": self.poly_modulus_degree,
            "security_level": self.security_level,
            "coeff_modulus": list(self.coeff_modulus),
        }
        if self.scale is not None:
            fields["scale"] = self.scale
        fields["complex_packing"] = self.complex_packing
        return fields

    def require_secure(self, allow_insecure: bool) -> None:
        """Refuse parameters below 128-bit security unless the caller allows them."""
        if self.security_level < 128 and not allow_insecure:
            raise ConfigError(
                f"security_level is {self.security_level}, below 128 bits; "
                "set 128, 192 or 256, or pass --insecure"
            )

    def _check_primes(self) -> None:
        bits = self.coeff_modulus
        if not isinstance(bits, tuple) or not 1 <= len(bits) <= MAX_PRIMES:
            raise ConfigError(
                f"coeff_modulus is {bits!r}; allowed is a list of 1 to {MAX_PRIMES} bit sizes"
            )
        for size in bits:
            _check_integer("coeff_modulus", size)
            if not 1 <= size <= MAX_PRIME_BITS:
                raise ConfigError(
                    f"coeff_modulus holds {size}; allowed are 1 to {MAX_PRIME_BITS} bits each"
                )
        if self.security_level:
            level = getattr(seal.sec_level_type, f"tc{self.security_level}")
            limit = seal.CoeffModulus.MaxBitCount(self.poly_modulus_degree, level)
            if sum(bits) > limit:
                raise ConfigError(
                    f"coeff_modulus has {sum(bits)} bits in all; allowed are {limit} for "
                    f"poly_modulus_degree {self.poly_modulus_degree} at {self.security_level}-bit "
                    "security"
                )
        try:
            moduli(self.poly_modulus_degree, bits)
        except (ValueError, RuntimeError):
            raise ConfigError(
                f"coeff_modulus is {list(bits)}; there are not so many primes of these sizes for "
                f"poly_modulus_degree {self.poly_modulus_degree}; use larger or fewer ones"
            ) from None


@lru_cache(maxsize=32)
def moduli(degree: int, bits: tuple[int, ...]) -> tuple[Any, ...]:
    """SEAL's primes of these sizes; ValueError or RuntimeError where there are not so many.

    Kept, since SEAL tests each by forty rounds of Miller and Rabin.
    """
    return tuple(seal.CoeffModulus.Create(degree, list(bits)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_integer(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{field} is {value!r}; allowed are whole numbers")


def _check_choice(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(str(choice) for choice in allowed)
        raise ConfigError(f"{field} is {value!r}; allowed are {choices}")
