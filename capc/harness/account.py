"""The account that `--account` carries from run to run, as the driver sees it: it only reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from capc.console import epsilon_text
from capc.parties.config import PrivacySettings
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import GridEdgeWarning


@dataclass(frozen=True)
class AccountBefore:
    """What an account holds before a run: epsilon, and whether runs of another rule charged it."""

    epsilon: float
    other_rule: bool

    def __str__(self) -> str:
        said = f"epsilon {epsilon_text(self.epsilon)} spent before this run"
        if self.other_rule:
            said += ", partly by runs with the other --noise; the costs of both are added up"
        return said if self.epsilon else "new"


def account_before(privacy: PrivacySettings) -> AccountBefore | None:
    """What earlier runs spent, nothing where there is no file yet; None without --account.

    Raises ConfigError where the guardian could not use the file, before any party starts.
    """
    if privacy.account is None:
        return None
    with AccountFile(privacy.account, privacy.owners) as file:
        rules = {mechanism.kind == "distributed" for mechanism in file.account.counts}
        return AccountBefore(_epsilon(file.account, privacy), not rules <= {privacy.distributed})


def epsilon_after(privacy: PrivacySettings) -> float | None:
    """epsilon in the file now, as the run left it; None without --account."""
    if privacy.account is None or not Path(privacy.account).exists():
        return None
    return _epsilon(Accountant.load(privacy.account), privacy)


def _epsilon(account: Accountant, privacy: PrivacySettings) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)
        loss = account.privacy_loss(privacy.delta, privacy.conversion)
    return loss.epsilon
