"""What is said before a run starts, and how much of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """One line before a run.

    `shown` is for the screen. `private` has the figures behind it that tell of a model's weights,
    where there are some: they go to the run's private folder alone.
    """

    shown: str
    private: str | None = None

    @property
    def is_warning(self) -> bool:
        """Whether it asks the user to act."""
        return self.shown.startswith("WARNING")
