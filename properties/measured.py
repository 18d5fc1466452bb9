"""What every system's measurements offer, whichever the system: the judges know no more than this."""

from __future__ import annotations

from typing import Any, Protocol

from flint import arb

from models.trajectory import Trajectory


class Measured(Protocol):
    """A float64 run with its observables as arrays of balls, `properties.observables.Measurement` and the like."""

    @property
    def instance(self) -> Any:
        """Dataset and run."""

    @property
    def geometry(self) -> Any:
        """What does not change during training."""

    @property
    def trajectory(self) -> Trajectory:
        """The recorded run."""

    def __getitem__(self, name: str, /) -> Any:
        """An observable at every recorded step.  Raises `Undefined`."""


class BallMeasured(Protocol):
    """A run in Arb balls, fed state by state, `properties.observables.ExactMeasurement` and the like."""

    state: Any
    next_loss_gap: arb | None

    def advance(self, state: Any, /) -> None:
        """Take the next state of the run."""

    def leave(self) -> None:
        """Account for the step away from the latest state."""

    def __getitem__(self, name: str, /) -> arb:
        """An observable at the latest state.  Raises `Undefined`."""
