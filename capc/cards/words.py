"""Who holds what and who learns what, in words: for the cards and for the lecture of --step."""

from __future__ import annotations

from dataclasses import dataclass

from capc.roles import ANSWERING, GUARDIAN, QUERYING, role_of

SETUP, OFFLINE = "set-up", "offline"
STAGES = (SETUP, OFFLINE, "1a", "1b", "1c", "2", "3")
"""Set-up of a run, then of each batch of queries: what is prepared before it, and its steps."""

STEP_NAMES = {
    "1a": "private inference",
    "1b": "logit shares",
    "1c": "vote shares",
    "2": "sum of the shares",
    "3": "noisy label",
}
STEPS_OF = {
    QUERYING: ("1a", "1b", "1c", "2", "3"),
    ANSWERING: ("1a", "1b", "1c", "2"),
    GUARDIAN: ("2", "3"),
}
"""By role, the steps in which it takes part."""


@dataclass(frozen=True)
class Facts:
    """What is public of a run, for the card of one party.

    `epsilon`, the limit of the budget (None: no limit), is the guardian's to show. `label_sets`: a
    query gets a set of labels.
    """

    party: str
    n_queries: int
    with_threshold: bool = False
    unencrypted: bool = False
    verify: bool = False
    distributed_noise: bool = False
    epsilon: float | None = None
    label_sets: bool = False

    @property
    def role(self) -> str:
        """The role of the party."""
        return role_of(self.party)

    @property
    def title(self) -> str:
        """The party in words."""
        if self.role == ANSWERING:
            return f"answering party {self.party.partition('-')[2]}"
        return "privacy guardian" if self.role == GUARDIAN else "querying party"

    @property
    def holds(self) -> tuple[str, str]:
        """What the party holds: in at most 31 characters, and in a sentence."""
        return {
            QUERYING: (
                "its queries, its keys",
                "its queries and fresh keys of its own; of each logit and vote one random share",
            ),
            ANSWERING: (
                "its model, part of the noise" if self.distributed_noise else "its model",
                "its model; of each logit and vote one random share"
                + ("; its part of the noise" if self.distributed_noise else ""),
            ),
            GUARDIAN: (
                "the budget" if self.distributed_noise else "the noise, the budget",
                "the budget; no data and no noise of its own"
                if self.distributed_noise
                else "the noise, which it draws, and the budget; no data of its own",
            ),
        }[self.role]

    @property
    def learns(self) -> tuple[str, str]:
        """What the party learns: briefly, and in a sentence."""
        if self.role == QUERYING:
            long = "the noisy label of each query"
            return "labels", f"{long}, or that there is none" if self.with_threshold else long
        if self.role == GUARDIAN:
            if self.with_threshold:
                return "if answered", "whether each query was answered"
            return "nothing", "nothing: every query is answered"
        if self.unencrypted:
            return "THE QUERY", "EVERY QUERY: --cpu switches its encryption off"
        return "nothing", "nothing"

    @property
    def brief(self) -> str:
        """What the party learns and what not, in at most 31 characters."""
        if self.role == QUERYING:
            return "labels: no vote, no weight"
        if self.role == GUARDIAN:
            return f"{self.learns[0]}: no vote, no label"
        return "THE QUERY (--cpu)" if self.unencrypted else "nothing: no query, no own vote"

    @property
    def never(self) -> tuple[str, str]:
        """What the party never learns: briefly, and in a sentence."""
        if self.role == QUERYING:
            return "votes or weights", "a vote, a logit, an activation, a weight, the noise"
        if self.role == GUARDIAN:
            return "a vote or label", "a query, a vote, a label"
        if self.unencrypted:
            return "a label", "a label, another party's vote"
        return "query, label, own vote", "a query, an activation, a label, not even its own vote"


def sentence(stage: str, facts: Facts) -> str:
    """What happens in a stage, and who learns what, in one sentence.

    Of `facts` only what holds for all parties counts.
    """
    if stage == "1a" and facts.unencrypted:
        return (
            "the querying party sends its query in the clear (--cpu), and each answering party "
            "computes on it: every answering party learns the query"
        )
    if stage == SETUP:
        who = "the answering parties draw" if facts.distributed_noise else "the guardian draws"
        return (
            f"{who} the noise, all connect over TLS, the querying party makes fresh keys, and the "
            "circuits' sessions begin: nobody learns anything of a query, a model or a vote"
        )
    if stage == "2" and facts.distributed_noise:
        return (
            "each answering party adds its part of the noise and masks that cancel to its share of "
            "the vote, and sends it to the guardian; the guardian and the querying party each add "
            "up theirs: nobody learns a vote, as each sum alone is random"
        )
    if stage == "3":
        return _last_step(facts)
    return _SENTENCES[stage]


def _last_step(facts: Facts) -> str:
    learned = "the querying party learns the noisy label, and nobody the votes"
    if facts.with_threshold:
        learned = (
            "the querying party learns the noisy label or that there is none, the guardian "
            "whether there is one, and nobody the votes"
        )
    if facts.verify:
        learned += ", but for the driver: under --verify it is told every share"
    added = "both sums" if facts.distributed_noise else "both sums and the guardian's noise"
    return f"a garbled circuit adds {added} and finds the leading class: {learned}"


_SENTENCES = {
    OFFLINE: (
        "the parties prepare what does not depend on the query (encrypted masks times weights, "
        "transfers, garbled tables): nobody learns anything"
    ),
    "1a": (
        "the querying party sends its query under a mask that went ahead under its own key, and "
        "each answering party computes on it, with garbled circuits or table look-ups between the "
        "layers: nobody learns a query, an activation or a weight"
    ),
    "1b": (
        "the last layer ends in two random shares of the logits, one at the querying party and "
        "one at the answering party: nobody learns a logit"
    ),
    "1c": (
        "a garbled circuit turns the shares of the logits into shares of the vote: nobody learns "
        "the vote, not even the party that casts it"
    ),
    "2": (
        "each answering party sends its share of the vote to the guardian, and the guardian and "
        "the querying party each add up theirs: nobody learns a vote, as each sum alone is random"
    ),
}
