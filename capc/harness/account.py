"""The account that `--account` carries from run to run, as the driver sees it: it only reads."""

from __future__ import annotations

import warnings
from pathlib import Path

from capc.parties.config import PrivacySettings
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import GridEdgeWarning


def epsilon_before(privacy: PrivacySettings) -> float | None:
    """epsilon that earlier runs spent, 0 where there is no file yet; None without --account.

    Raises ConfigError where the guardian could not use the file, before any party starts.
    """
    if privacy.account is None:
        return None
    with AccountFile(privacy.account) as file:
        return _epsilon(file.account, privacy)


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
