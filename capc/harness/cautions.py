"""What weakens a run, or has no effect on it: said before it starts."""

from __future__ import annotations

from capc.harness.settings import Settings


def cautions(settings: Settings) -> list[str]:
    """What the user should know before the run: switches that weaken it, flags without effect."""
    said = [f"--{name} has no effect: see --help" for name in settings.without_effect]
    privacy = settings.privacy
    if (earlier := settings.flags["resume"]) is not None:
        said.append(f"going on with {earlier}, which has the queries before these")
    if settings.has_no_noise:
        said.append("WARNING: no noise: epsilon is infinite, the labels protect no training data")
    elif privacy.sigma < 1:
        said.append(
            f"WARNING: noise of scale {privacy.sigma:g} hides nothing: epsilon will be huge; the "
            "paper uses 7 (50 parties) to 40 (250 parties)"
        )
    if privacy.threshold is not None and privacy.threshold > settings.n_parties:
        said.append(
            f"WARNING: --threshold {privacy.threshold} is above the {settings.n_parties} votes "
            "of a query: only noise reaches it, so hardly any query will be answered"
        )
    if settings.fewest < settings.n_parties and privacy.threshold is not None:
        said.append(
            f"--threshold {privacy.threshold} stays what it is for a query that fewer than "
            f"{settings.n_parties} parties answer"
        )
    if settings.public_queries:
        said.append("the queries are public: every answering party sees them; votes stay hidden")
    elif settings.unencrypted:
        said.append("WARNING: --cpu: no encryption; queries and models are seen in the clear")
    if "security_level" in settings.insecure_switches:
        said.append("WARNING: --insecure: encryption parameters under 128-bit security")
    if settings.runs_emp:
        said.append("WARNING: the circuits run on EMP 0.3, which checks less of what a peer sends")
    if settings.verify:
        said.append("WARNING: --verify: every share is opened to the driver")
    return said
