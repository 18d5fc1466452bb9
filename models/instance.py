"""Instances: one dataset with one run configuration, exactly representable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.dataset import Array, InvalidDataset, TokenDataset, content_id, from_hexadecimal, hexadecimal

RULES = ("ngd", "gd", "polyak")
LOSSES = ("logistic", "exponential")
MAX_STEPS = 10_000_000


class InvalidRun(ValueError):
    """The run configuration is not usable; the message names the field and the fix."""


@dataclass(frozen=True, eq=False)
class Run:
    """How a dataset is trained.

    Parameters
    ----------
    rule : {"ngd", "gd", "polyak"}
        Step rule: W ← W − δ_t ∇L/‖∇L‖ with δ_t = η, η‖∇L‖ or (L − L*)/(ζ‖∇L‖).
    loss : {"logistic", "exponential"}
        ℓ(z) = log(1 + e^{−z}) or e^{−z}.
    steps : int
        Number of steps; observables are measured at t = 0, …, steps.
    eta : float, optional
        Step size η > 0, for ``ngd`` and ``gd``.
    zeta : float, optional
        Polyak's divisor ζ > 0, for ``polyak``.
    W_0 : array, shape (d, d), optional
        Initial weights; zero if absent.

    Raises
    ------
    InvalidRun
        For unknown names, a missing, superfluous or non-finite step size, or a negative number of steps.
    """

    rule: str
    loss: str
    steps: int
    eta: float | None = None
    zeta: float | None = None
    W_0: Array | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InvalidRun(f"unknown rule {self.rule!r}: use one of {', '.join(RULES)}")
        if self.loss not in LOSSES:
            raise InvalidRun(f"unknown loss {self.loss!r}: use one of {', '.join(LOSSES)}")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int):
            raise InvalidRun(f"steps = {self.steps!r}: give a whole number")
        if not 0 <= self.steps <= MAX_STEPS:
            raise InvalidRun(f"steps = {self.steps}: give a number from 0 to {MAX_STEPS}")
        needed, other = ("zeta", "eta") if self.rule == "polyak" else ("eta", "zeta")
        value = getattr(self, needed)
        if not _positive(value):
            raise InvalidRun(f"{needed} = {value!r}: the rule {self.rule!r} needs a positive, finite {needed}")
        if getattr(self, other) is not None:
            raise InvalidRun(
                f"{other} = {getattr(self, other)}: the rule {self.rule!r} has no {other}; leave it out"
            )
        object.__setattr__(self, needed, float(value))
        if self.W_0 is not None:
            object.__setattr__(self, "W_0", _weights(self.W_0))

    @property
    def step_size(self) -> float:
        """η, or ζ for the Polyak rule."""
        value = self.zeta if self.rule == "polyak" else self.eta
        assert value is not None  # __post_init__ made sure
        return value

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` rebuilds the same bits."""
        return {
            "rule": self.rule,
            "loss": self.loss,
            "steps": self.steps,
            "eta": None if self.eta is None else self.eta.hex(),
            "zeta": None if self.zeta is None else self.zeta.hex(),
            "W_0": None if self.W_0 is None else hexadecimal(self.W_0),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        """Inverse of `to_json`.  Raises `InvalidRun` if the object is damaged."""
        try:
            return cls(
                rule=data["rule"],
                loss=data["loss"],
                steps=data["steps"],
                eta=_optional_float(data["eta"]),
                zeta=_optional_float(data["zeta"]),
                W_0=None if data["W_0"] is None else from_hexadecimal(data["W_0"]),
            )
        except (KeyError, TypeError, InvalidDataset) as error:
            raise InvalidRun(f"the stored run is damaged ({error}): restore the file") from None


@dataclass(frozen=True, eq=False)
class Instance:
    """One dataset and one run: all that is needed to repeat an experiment bit for bit.

    Raises
    ------
    InvalidRun
        If ``W_0`` is not d × d for the dataset's d.
    """

    dataset: TokenDataset
    run: Run

    def __post_init__(self) -> None:
        W_0, d = self.run.W_0, self.dataset.d
        if W_0 is not None and W_0.shape != (d, d):
            raise InvalidRun(f"W_0 has shape {W_0.shape}: for tokens of dimension {d} it must be {(d, d)}")

    def with_run(self, **changes: Any) -> Instance:
        """The same dataset with fields of the run replaced."""
        return Instance(self.dataset, replace(self.run, **changes))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that holds the instance without loss."""
        return {"dataset": self.dataset.to_json(), "run": self.run.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Instance:
        """Inverse of `to_json`.  Raises `InvalidDataset` or `InvalidRun`."""
        try:
            dataset, run = data["dataset"], data["run"]
        except (KeyError, TypeError):
            raise InvalidDataset("the stored instance has no dataset or no run: restore the file") from None
        return cls(TokenDataset.from_json(dataset), Run.from_json(run))

    @property
    def id(self) -> str:
        """Short content identifier: equal exactly when dataset and run have the same bits."""
        return content_id(self.to_json())


def _optional_float(text: str | None) -> float | None:
    return None if text is None else float(from_hexadecimal(text))


def _positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        return False
    try:
        return 0.0 < float(value) < math.inf
    except OverflowError:  # a whole number beyond float64
        return False


def _weights(values: ArrayLike) -> Array:
    try:
        if np.iscomplexobj(values):
            raise TypeError  # NumPy would drop the imaginary part with no more than a warning
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRun("W_0 is ragged or not numeric: give a d × d matrix") from None
    if array.ndim != 2 or not np.isfinite(array).all():
        raise InvalidRun("W_0 must be a d × d matrix of finite numbers")
    array.setflags(write=False)
    return array
