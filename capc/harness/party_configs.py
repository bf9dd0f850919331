"""What each party of a run is told, by its role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from capc.graph.agreement import Agreement
from capc.harness.hosts import Place
from capc.harness.lecture import PATIENCE_SECONDS
from capc.harness.queries import Queries
from capc.harness.settings import Settings
from capc.parties.config import OwnNoise, PartyConfig, PrivacySettings, QuerySource
from capc.roles import GUARDIAN, QUERYING
from capc.transport.endpoints import LOOPBACK


@dataclass(frozen=True, eq=False)
class PartyConfigs:
    """The configs of one run's parties, whose `names` are the answering ones first, in order.

    `classes` are the logits of a model; `prepared` and `agreements` are the answering parties'
    models and their constants, `agreements` None where each has those of its own alone.
    `own_account` is where the run's account goes that no --account names.
    """

    settings: Settings
    names: Sequence[str]
    classes: int
    queries: Queries
    prepared: Sequence[Path]
    agreements: Sequence[Agreement] | None
    own_account: Path

    def of(
        self, name: str, log_file: str | None, directory: Path, host: Place | None
    ) -> PartyConfig:
        """The config of a party, which writes its own log to `log_file`, if any.

        `directory` is its own: there lie the queries for a querying party on another `host`.
        """
        settings = self.settings
        place = self.names.index(name)
        is_answering = name not in (QUERYING, GUARDIAN)
        return PartyConfig(
            party=name,
            index=place if is_answering else 0,
            n_parties=settings.n_parties,
            num_classes=self.classes,
            n_queries=settings.n_queries,
            batch_size=settings.batch_size,
            encryption_parameters=settings.encryption_parameters,
            input_range=self.queries.input_range,
            with_threshold=settings.privacy.threshold is not None,
            distributed_noise=settings.privacy.distributed,
            voting=settings.voting,
            max_labels=settings.max_labels,
            min_parties=settings.min_parties,
            insecure=settings.insecure,
            verify=settings.verify,
            unencrypted=settings.unencrypted,
            debug=settings.debug,
            max_logit=settings.max_logit,
            num_threads=settings.num_threads,
            log_level=settings.log_level,
            log_format=settings.log_format,
            gc_backend=settings.gc_backend,
            nonlinear=settings.nonlinear,
            port=settings.start_port + place if settings.start_port else 0,
            address=LOOPBACK if host is None else host.address,
            listen=LOOPBACK if host is None else host.listen,
            log_file=log_file if host is None else None,
            # Under --step the driver's deadlines, which stand still while it waits, are the limit.
            timeout_seconds=PATIENCE_SECONDS if settings.step else settings.timeout_seconds,
            card=settings.cards and host is None,  # a card needs a terminal of its own
            step_by_step=settings.step,
            model=str(self.prepared[place]) if is_answering else None,
            own_noise=(
                OwnNoise(settings.privacy.sigma, settings.privacy.colluding)
                if is_answering and settings.privacy.distributed
                else None
            ),
            agreement=self.agreements[place] if is_answering and self.agreements else None,
            queries=self._queries(directory, host) if name == QUERYING else None,
            privacy=self._privacy() if name == GUARDIAN else None,
        )

    def _privacy(self) -> PrivacySettings:
        """With an account of the run's own on this machine, which a later run goes on from."""
        privacy = self.settings.privacy
        if privacy.account is not None or self.settings.hosts is not None:
            return privacy
        return replace(privacy, account=str(self.own_account))

    def _queries(self, directory: Path, host: Place | None) -> QuerySource:
        if host is not None:
            file = directory / "queries.npy"
            np.save(file, self.queries.images)
            shape = tuple(self.queries.images.shape[1:])
            return QuerySource(self.settings.dataset_name, 0, str(file), shape)
        path = self.settings.dataset_path
        return QuerySource(
            self.settings.dataset_name,
            self.settings.start_batch,
            None if path is None else str(path),
            tuple(self.queries.images.shape[1:]),
        )
