"""The paper's runtimes (Table 1: seconds, batch of 1, CryptoNets-ReLU on MNIST).

Transcribed from memory and not yet checked against the PDF; PAPER_NOTE goes wherever they show.
"""

from __future__ import annotations

# What the paper timed: one answering party at a time.
PAPER_MODEL, PAPER_PARTIES, PAPER_CLASSES, PAPER_INPUTS = "cryptonets-relu", 1, 10, 28 * 28

PAPER_NOTE = "the paper's Table 1 as remembered, not yet checked against the PDF"

# The paper times these groups of steps.
PAPER_GROUPS: dict[str, tuple[str, ...]] = {"1a": ("1a",), "1b-1c": ("1b", "1c"), "2-3": ("2", "3")}

# Step 1a by polynomial modulus degree, on a CPU, with its standard deviation.
STEP_1A_SECONDS = {8192: (14.22, 0.11), 16384: (29.46, 2.34), 32768: (57.26, 0.39)}
STEP_1A_UNENCRYPTED_SECONDS = (0.152, 0.0082)
LATER_SECONDS = {"1b-1c": (0.12, 0.0058), "2-3": (0.030, 0.0045)}


def paper_seconds(group: str, *, degree: int, unencrypted: bool) -> float | None:
    """The paper's mean for a group of steps, or None where it has none."""
    if group in LATER_SECONDS:
        return LATER_SECONDS[group][0]
    if unencrypted:
        return STEP_1A_UNENCRYPTED_SECONDS[0]
    return STEP_1A_SECONDS[degree][0] if degree in STEP_1A_SECONDS else None


def is_the_papers(parties: int, classes: int, batch_size: int) -> bool:
    """Whether the figures of a run may stand beside the paper's."""
    return (parties, classes, batch_size) == (PAPER_PARTIES, PAPER_CLASSES, 1)
