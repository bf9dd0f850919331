"""What all models of a run use alike: computed before it, said on the screen and in run.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capc.graph.agreement import Agreed, Agreement, agree
from capc.harness.models import PreparedModels
from capc.harness.remarks import Remark
from capc.harness.settings import Settings


def agreed_models(
    settings: Settings, models: PreparedModels, input_range: tuple[float, float]
) -> Agreed:
    """The models with the constants of the run. Raises what `agree` does."""
    return agree(
        models.originals,
        input_range,
        settings.max_logit,
        calibrated=models.calibrated,
        ring_bits=settings.ring_bits,
        fraction_bits=settings.fraction_bits,
        terms=settings.rule(models.originals[0].output.shape[0]).terms,
    )


def agreement_remarks(agreed: Agreed, settings: Settings) -> list[Remark]:
    """What the user should know: the constants, where they come from, what they cost."""
    ring = agreed.ring
    if settings.ring_bits is not None:
        source = "as --ring fixes them"
    else:
        source = "the smallest that all models need together; --ring fixes them beforehand"
    said = [
        Remark(
            f"constants of the run, public: a ring of {ring.ring_bits} bits, {ring.fraction_bits} "
            f"fractional bits ({source})"
        )
    ]
    kinds = len({id(agreement) for agreement in agreed.agreements})
    if kinds > 1:
        said.append(
            Remark(
                f"WARNING: the models have {kinds} architectures, so that the querying party can "
                "tell them apart"
            )
        )
    return said + [
        Remark(
            f"WARNING: answering party {party}: weights were clipped to fit a ring of "
            f"{ring.ring_bits} bits; a larger --ring, or fewer --fraction_bits, keeps them",
            f"{count} weights were clipped",
        )
        for party, count in enumerate(agreed.clipped)
        if count
    ]


def constants_record(agreements: Sequence[Agreement]) -> list[dict[str, Any]]:
    """One object for each architecture, with the parties that have it, for run.json.

    What the querying party is told, and no more: the bits of weights are between the others.
    """
    distinct = list({id(agreement): agreement for agreement in agreements}.values())
    return [
        {
            "parties": [place for place, other in enumerate(agreements) if other is agreement],
            **{k: v for k, v in agreement.to_fields().items() if k != "weight_bits"},
        }
        for agreement in distinct
    ]
