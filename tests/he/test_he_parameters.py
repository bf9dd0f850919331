"""EncryptionParameters: the original's files, and each way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from he_reference import CONFIG

from capc.errors import ConfigError
from capc.he.parameters import EncryptionParameters

GOOD: dict[str, object] = {
    "scheme_name": "HE_SEAL",
    "poly_modulus_degree": 8192,
    "security_level": 128,
    "coeff_modulus": [47, 24, 24, 24, 30],
    "scale": 16777216,
    "complex_packing": True,
}


def text(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def test_the_original_files() -> None:
    moduli = (47, 24, 24, 24, 30)
    ten, eleven, twelve = (
        EncryptionParameters.from_json(str(CONFIG / f"{name}.json")) for name in (10, 11, 12)
    )
    assert ten == EncryptionParameters("HE_SEAL", 8192, 128, moduli, 16777216, True)
    assert eleven == EncryptionParameters("HE_SEAL", 16384, 128, moduli, None, False)
    assert twelve == EncryptionParameters("HE_SEAL", 32768, 128, moduli, None, False)


@pytest.mark.parametrize("name", ["10", "11", "12", "fast"])
def test_each_file_is_secure_and_survives_a_round_trip(name: str) -> None:
    parameters = EncryptionParameters.from_json(str(CONFIG / f"{name}.json"))
    parameters.require_secure(allow_insecure=False)
    assert EncryptionParameters.from_json(parameters.to_json()) == parameters
    assert EncryptionParameters.from_fields(parameters.to_fields()) == parameters


def test_text_and_file_read_alike(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text(), encoding="utf-8")
    from_file = EncryptionParameters.from_json(str(tmp_path / "p.json"))
    assert from_file == EncryptionParameters.from_json("  " + text())


@pytest.mark.parametrize("field", ["scheme_name", "poly_modulus_degree", "security_level"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ConfigError, match=f"miss {field}; needed are"):
        EncryptionParameters.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme_name": "HE_HELIB"}, "scheme_name is 'HE_HELIB'; allowed are HE_SEAL"),
        ({"poly_modulus_degree": 8191}, "poly_modulus_degree is 8191; allowed are 1024, 2048"),
        ({"poly_modulus_degree": 512}, "poly_modulus_degree is 512; allowed are 1024"),
        ({"poly_modulus_degree": 65536}, "poly_modulus_degree is 65536; allowed are 1024"),
        ({"poly_modulus_degree": "8192"}, "poly_modulus_degree is '8192'; allowed are whole"),
        ({"poly_modulus_degree": 8192.0}, "poly_modulus_degree is 8192.0; allowed are whole"),
        ({"security_level": 80}, "security_level is 80; allowed are 0, 128, 192, 256"),
        ({"security_level": True}, "security_level is True; allowed are whole numbers"),
        ({"coeff_modulus": []}, "coeff_modulus is \\(\\); allowed is a list of 1 to 64"),
        ({"coeff_modulus": 47}, "coeff_modulus is 47; allowed is a list"),
        ({"coeff_modulus": [61]}, "coeff_modulus holds 61; allowed are 1 to 60"),
        ({"coeff_modulus": [47, 0]}, "coeff_modulus holds 0; allowed are 1 to 60"),
        ({"coeff_modulus": [47, "24"]}, "coeff_modulus is '24'; allowed are whole numbers"),
        ({"coeff_modulus": [60, 60, 60, 60]}, "has 240 bits in all; allowed are 218"),
        ({"coeff_modulus": [60] * 3, "security_level": 192}, "180 bits in all; allowed are 152"),
        ({"coeff_modulus": [60] * 2, "security_level": 256}, "120 bits in all; allowed are 118"),
        ({"coeff_modulus": [10, 30]}, "not so many primes of these sizes"),
        ({"scale": 0}, "scale is 0; allowed are numbers above 0"),
        ({"scale": "big"}, "scale is 'big'; allowed are numbers above 0"),
        ({"complex_packing": 1}, "complex_packing is 1; allowed are true, false"),
        ({"degree": 8192}, "unknown field 'degree'; allowed are scheme_name"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        EncryptionParameters.from_json(text(**changes))
    assert "\n" not in str(error.value)


def test_what_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*No such file.*config/10\.json"):
        EncryptionParameters.from_json(str(tmp_path / "absent.json"))
    with pytest.raises(ConfigError, match="not JSON"):
        EncryptionParameters.from_json("{")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a JSON object"):
        EncryptionParameters.from_json(str(tmp_path / "list.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not readable as text"):
        EncryptionParameters.from_json(str(tmp_path / "binary.json"))
    with pytest.raises(ConfigError, match="not readable as text"):
        EncryptionParameters.from_json("a\0b")


def test_less_than_128_bits_needs_leave() -> None:
    parameters = EncryptionParameters.from_json(text(security_level=0, coeff_modulus=[60] * 5))
    with pytest.raises(ConfigError, match=r"security_level is 0.*--insecure"):
        parameters.require_secure(allow_insecure=False)
    parameters.require_secure(allow_insecure=True)
