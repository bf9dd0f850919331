"""The live budget: what the guardian charges for, and when it refuses the next query.

Only data-independent bounds, for the guardian sees no votes and the epsilon that it prints must
not be private itself. The account belongs to the answering parties' data: every querying party of
a run draws on the same one.
"""

from __future__ import annotations

import copy
import math

from capc.errors import BudgetError, ConfigError
from capc.privacy.accountant import Accountant
from capc.privacy.calibrate import queries_that_fit
from capc.privacy.conversion import Conversion, PrivacyLoss, check_conversion, check_delta
from capc.privacy.rdp import Mechanism


class Budget:
    """(epsilon, delta) over the queries of one run, charged as they happen.

    `distributed_over`: that many answering parties draw the noise, of which `colluding` may tell
    others. Then a query costs the same whether it is answered or not, for label and threshold come
    from the same noisy counts, and there is no `sigma_threshold`.

    `changes`: each label of a query comes from a count of its own, and so many of them change by 1
    with one party's data (binary and tau-voting); there is no threshold then.

    With a threshold (Confident-GNMax) every query is charged for the threshold, and for GNMax only
    when it is answered; without one (`threshold` None) every query is answered and charged for
    GNMax. `epsilon` None means no limit: the account is kept and nothing is refused. A scale of 0
    means no noise and an infinite epsilon from the first query that uses it. An `account` that was
    saved earlier carries its charges over. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        epsilon: float | None,
        delta: float,
        sigma: float,
        threshold: float | None = None,
        sigma_threshold: float = 0.0,
        *,
        distributed_over: int | None = None,
        colluding: int = 0,
        changes: int | None = None,
        conversion: Conversion = "improved",
        account: Accountant | None = None,
    ) -> None:
        if epsilon is not None and not epsilon > 0.0:
            raise ConfigError(f"epsilon is {epsilon}; give a number above 0, or none for no limit")
        if threshold is not None and not math.isfinite(threshold):
            raise ConfigError(f"threshold is {threshold}; give a number of votes, or none")
        self.epsilon = epsilon
        self.delta = check_delta(delta)
        self.conversion: Conversion = check_conversion(conversion)
        self.account = Accountant() if account is None else account
        if self.account.private:
            raise ConfigError("a live budget cannot go on from a data-dependent, private account")
        self._always_answered = threshold is None
        self._on_each: tuple[Mechanism, ...]
        self._on_answered: tuple[Mechanism, ...]
        if changes is not None:
            if threshold is not None or distributed_over is not None:
                raise ConfigError("label counts know no threshold and no distributed noise")
            self._on_each = ()
            self._on_answered = (Mechanism("labels", sigma, changes=changes),)
        elif distributed_over is not None:
            if sigma_threshold:
                raise ConfigError(
                    "with distributed noise there is no sigma_threshold: leave it out"
                )
            each = Mechanism("distributed", sigma, parties=distributed_over, colluding=colluding)
            self._on_each, self._on_answered = (each,), ()
        elif threshold is None:
            self._on_each, self._on_answered = (), (Mechanism("gnmax", sigma),)
        else:
            self._on_each = (Mechanism("threshold", sigma_threshold),)
            self._on_answered = (Mechanism("gnmax", sigma),)
        self._worst_cost = self._cost(answered=True)
        self._spent: PrivacyLoss | None = None

    def check(self) -> None:
        """Raise BudgetError if the next query could exceed epsilon; call before it is run.

        The worst case counts, a query that is answered: refusing after the vote would tell that
        it was.
        """
        if self.epsilon is None:
            return
        worst = self.account.privacy_loss(self.delta, self.conversion, also=self._worst_cost)
        if worst.epsilon > self.epsilon:
            raise BudgetError(
                f"the next query could spend epsilon {worst.epsilon:.4f} of {self.epsilon:g} at "
                f"delta {self.delta:g} ({self.epsilon_spent:.4f} spent so far); "
                "stop here, or agree on more noise or a larger epsilon before the next run"
            )

    def admit(self, count: int) -> tuple[int, str]:
        """How many of the next `count` queries fit even if all are answered, and why not more.

        The reason is empty when all fit. Charges nothing.
        """
        worst = copy.deepcopy(self)
        for admitted in range(count):
            try:
                worst.check()
            except BudgetError as error:
                return admitted, str(error)
            worst.charge(answered=True)
        return count, ""

    def worst_case(self, count: int) -> Accountant:
        """The account if the next `count` queries are all answered. Charges nothing."""
        return self.planned(count, count)

    def planned(self, queries: int, answered: int) -> Accountant:
        """The account after `queries` more, of them `answered`. Charges nothing."""
        if not 0 <= answered <= queries:
            raise ConfigError(f"answered is {answered}; allowed is 0 to {queries}, the queries")
        if self._always_answered and answered != queries:
            raise ConfigError("without a threshold every query is answered: leave answered out")
        planned = copy.deepcopy(self.account)
        for mechanism in self._on_each:
            planned.charge(mechanism, queries)
        for mechanism in self._on_answered:
            planned.charge(mechanism, answered)
        return planned

    def room(self) -> int | None:
        """How many queries fit even if all are answered; None without a limit on epsilon.

        Raises ConfigError where they are beyond counting. Charges nothing.
        """
        if self.epsilon is None:
            return None
        each = Accountant(self.account.orders).rdp(self._worst_cost)
        return queries_that_fit(
            *(self.epsilon, self.delta, each),
            spent=self.account.rdp(),
            conversion=self.conversion,
            orders=self.account.orders,
        )

    def charge(self, answered: bool) -> None:
        """Charge one query for what happened; a query without a threshold is always answered."""
        if self._always_answered and not answered:
            raise ConfigError("without a threshold every query is answered: charge it as answered")
        for mechanism in self._cost(answered):
            self.account.charge(mechanism)
        self._spent = None

    @property
    def epsilon_spent(self) -> float:
        """epsilon at `delta` of all that was charged; 0 before the first query; may be infinite."""
        return self.spent.epsilon

    @property
    def order(self) -> float:
        """The Renyi order at which `epsilon_spent` was found."""
        return self.spent.order

    @property
    def spent(self) -> PrivacyLoss:
        """What was charged so far, converted."""
        if self._spent is None:
            self._spent = self.account.privacy_loss(self.delta, self.conversion)
        return self._spent

    def _cost(self, answered: bool) -> tuple[Mechanism, ...]:
        return (*self._on_each, *(self._on_answered if answered else ()))
