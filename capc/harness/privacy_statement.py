"""What a run's noise is worth: the first line of its result, and what --private asks for."""

from __future__ import annotations

from capc.console import epsilon_text
from capc.errors import ConfigError
from capc.harness.settings import Settings

# At e^20 one party's training data may change the odds of an outcome 500 million times.
MEANINGLESS_EPSILON = 20.0


def privacy_statement(settings: Settings, epsilon: float) -> str:
    """`epsilon` as what it is, after all that was charged; where sigma was not stated, that too."""
    privacy, said = settings.privacy, []
    if not settings.sigma_stated:
        said.append(
            f"sigma was not stated: {privacy.sigma:g} by default, as in the original programs"
        )
    if settings.has_no_noise:
        said.append("there is no noise on what is opened")
    runs = "" if privacy.account is None else ", over all runs of the account"
    bound = f"epsilon = {epsilon_text(epsilon)} at delta = {privacy.delta:g}{runs}"
    weak = settings.has_no_noise or epsilon >= MEANINGLESS_EPSILON
    said.append(f"{bound}: no meaningful privacy" if weak else bound)
    return "; ".join(said)


def require_private(settings: Settings) -> None:
    """Raise one ConfigError that names all that --private asks for and the run lacks."""
    lacks = [] if settings.sigma_stated else ["--sigma is not stated"]
    if settings.privacy.epsilon is None:
        lacks.append("--epsilon is not stated (inf is no limit)")
    lacks += [
        f"--{name} is not stated" for name in ("delta", "account") if settings.flags[name] is None
    ]
    weak = {
        "--sigma is 0": settings.privacy.sigma == 0,
        "--sigma_threshold is 0": settings.has_no_noise and settings.privacy.sigma > 0,
        "--verify opens every share": settings.verify,
        "--cpu has no encryption": settings.unencrypted and not settings.public_queries,
        "--insecure allows weak parameters": settings.insecure,
        "the circuits run on EMP": settings.runs_emp,
    }
    lacks += [reason for reason, found in weak.items() if found]
    if lacks:
        raise ConfigError(f"--private: {'; '.join(lacks)}")
