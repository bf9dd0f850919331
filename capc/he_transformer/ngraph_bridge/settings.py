"""The parameters that a he-transformer program puts into its session's config."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capc.errors import ConfigError
from capc.he.parameters import EncryptionParameters
from capc.he_transformer.link import INSECURE, insecure_allowed

log = logging.getLogger(__name__)

OPTIMIZER = "ngraph-optimizer"
BACKENDS = ("CPU", "HE_SEAL")
DEFAULT_PORT = 34000

DEFAULT_HOMOMORPHIC = EncryptionParameters(
    "HE_SEAL", 8192, 128, (30, 24, 24, 24, 24, 24, 24, 30), scale=2.0**24
)
DEFAULT_MIXED = EncryptionParameters("HE_SEAL", 8192, 128, (60, 60, 60))

_KNOWN = {
    "ngraph_backend",
    "device_id",
    "encryption_parameters",
    "enable_client",
    "enable_gc",
    "mask_gc_inputs",
    "mask_gc_outputs",
    "num_gc_threads",
    "port",
}
_TENSOR_SETTINGS = {"client_input", "encrypt", "packed", ""}


@dataclass(frozen=True)
class TensorSetting:
    """How one tensor is given: by the client, encrypted, with the batch in the slots."""

    client_input: bool
    encrypt: bool
    packed: bool


@dataclass(frozen=True)
class BridgeSettings:
    """One session's settings; `enable_gc` is None where the program does not say."""

    backend: str
    enable_client: bool
    enable_gc: bool | None
    port: int
    parameters: EncryptionParameters | None
    tensors: Mapping[str, TensorSetting]

    def parameters_for(self, mode: str) -> EncryptionParameters:
        """Those given, or a default of 128 bits; "mixed" and "homomorphic" differ."""
        if self.parameters is not None:
            return self.parameters
        return DEFAULT_MIXED if mode == "mixed" else DEFAULT_HOMOMORPHIC


def read_settings(config: Any) -> BridgeSettings | None:
    """The settings in a ConfigProto; None where it does not name the optimizer.

    ConfigError for what cannot be read, and for what was unsafe and is refused by default.
    """
    rewriting = config.graph_options.rewrite_options if config is not None else None
    found = (
        [one for one in rewriting.custom_optimizers if one.name == OPTIMIZER] if rewriting else []
    )
    if not found:
        return None
    given = {name: value.s.decode() for name, value in found[0].parameter_map.items()}
    backend = given.get("ngraph_backend", "CPU") or "CPU"
    if backend not in BACKENDS:
        raise ConfigError(f"ngraph_backend is {backend!r}; allowed are {', '.join(BACKENDS)}")
    enable_gc = _flag(given, "enable_gc", None)
    if enable_gc:
        _require_masks(given)
    source = given.get("encryption_parameters", "")
    parameters = EncryptionParameters.from_json(source) if source.strip() else None
    if parameters is not None and backend == "HE_SEAL":
        _require_level(parameters)
    return BridgeSettings(
        backend,
        bool(_flag(given, "enable_client", False)),
        enable_gc,
        _port(given.get("port", "")),
        parameters,
        {
            name.removesuffix(":0"): _tensor(name, value)
            for name, value in given.items()
            if name not in _KNOWN
        },
    )


def _flag(given: Mapping[str, str], name: str, default: bool | None) -> bool | None:
    text = given.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"true", "1", "yes", "on"}:
        return True
    if text in {"false", "0", "no", "off"}:
        return False
    raise ConfigError(f"{name} is {given[name]!r}; allowed are True and False")


def _port(text: str) -> int:
    if not text.strip():
        return DEFAULT_PORT
    if not text.strip().isdigit() or not 1 <= int(text) <= 65535:
        raise ConfigError(f"port is {text!r}; allowed are 1 to 65535")
    return int(text)


def _tensor(name: str, value: str) -> TensorSetting:
    parts = {part.strip().lower() for part in value.split(",")}
    if not parts <= _TENSOR_SETTINGS:
        raise ConfigError(
            f"parameter {name!r} is {value!r}; a tensor takes client_input or encrypt, and packed; "
            f"other parameters are {', '.join(sorted(_KNOWN))}"
        )
    return TensorSetting("client_input" in parts, "encrypt" in parts, "packed" in parts)


def _require_masks(given: Mapping[str, str]) -> None:
    """Masks are on unless a program turns them off, which shows activations to the client."""
    for name in ("mask_gc_inputs", "mask_gc_outputs"):
        if _flag(given, name, True):
            continue
        reason = (
            f"{name} is False: unmasked, the client would see the network's activations, and could "
            "work out its weights"
        )
        if not insecure_allowed():
            raise ConfigError(f"{reason}; set it to True, or set {INSECURE}=1")
        log.warning("%s; the circuits here mask in any case", reason)


def _require_level(parameters: EncryptionParameters) -> None:
    if parameters.security_level >= 128:
        return
    reason = (
        f"security_level is {parameters.security_level}: nothing says that this encryption "
        "cannot be broken"
    )
    if not insecure_allowed():
        raise ConfigError(
            f"{reason}; give parameters of 128 bits, such as "
            f"config/he_seal_ckks_config_N13_L8.json, or set {INSECURE}=1"
        )
    log.warning("%s", reason)
