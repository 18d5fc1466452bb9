"""Joint runs and instances: datasets whose attention and decoder are trained together, exactly representable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.dataset import Array, InvalidDataset, TokenDataset, content_id, from_hexadecimal, hexadecimal
from models.instance import LOSSES, MAX_STEPS, InvalidRun

#: Marks a stored instance of this system.
SYSTEM = "joint"
_MAX_POWER, _MAX_DENOMINATOR = 4, 1000


@dataclass(frozen=True, eq=False)
class JointRun:
    """How attention and decoder are trained together.

    Parameters
    ----------
    loss : {"logistic", "exponential"}
        ℓ(z) = log(1 + e^{−z}) or e^{−z}.
    steps : int
        Number of steps; observables are measured at t = 0, …, steps.
    eta_W, eta_u : float
        First step lengths, positive.
    power_W, power_u : Fraction
        Step t has length η (t+1)^{−power}; exact, so that balls can be made of it.  Whole numbers and strings
        such as ``"2/3"`` are taken too.
    start : int
        Step of the schedule at which the run begins: its step t has length η (start+t+1)^{−power}.
    alpha_0 : array, shape (N,), optional
        Coefficients of W_0 = Σ α_j Z_j in pair order; zero if absent.
    beta_0 : array, shape (nT,), optional
        Coefficients ≥ 0 of u_0 = Σ β_j y x in the token order of `JointGeometry`; zero if absent.

    Raises
    ------
    InvalidRun
        For an unknown loss, a step length that is not positive and finite, a power that is not an exact
        rational from 0 to 4, unusable coefficients, or an unusable number of steps.
    """

    loss: str
    steps: int
    eta_W: float
    eta_u: float
    power_W: Fraction = Fraction(1)
    power_u: Fraction = Fraction(2, 3)
    start: int = 0
    alpha_0: Array | None = None
    beta_0: Array | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InvalidRun(f"unknown loss {self.loss!r}: use one of {', '.join(LOSSES)}")
        for name in ("steps", "start"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int):
                raise InvalidRun(f"{name} = {number!r}: give a whole number")
            if not 0 <= number <= MAX_STEPS:
                raise InvalidRun(f"{name} = {number}: give a number from 0 to {MAX_STEPS}")
        for name in ("eta_W", "eta_u"):
            object.__setattr__(self, name, _step_length(name, getattr(self, name)))
        for name in ("power_W", "power_u"):
            object.__setattr__(self, name, _power(name, getattr(self, name)))
        for name in ("alpha_0", "beta_0"):
            object.__setattr__(self, name, _coefficients(name, getattr(self, name)))
        if self.beta_0 is not None and self.beta_0.min() < 0.0:
            raise InvalidRun(
                "beta_0 has a negative entry: training from u = 0 gives none; take the state of a run"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` rebuilds the same run, exactly."""
        return {
            "loss": self.loss,
            "steps": self.steps,
            "eta_W": self.eta_W.hex(),
            "eta_u": self.eta_u.hex(),
            "power_W": str(self.power_W),
            "power_u": str(self.power_u),
            "start": self.start,
            "alpha_0": None if self.alpha_0 is None else hexadecimal(self.alpha_0),
            "beta_0": None if self.beta_0 is None else hexadecimal(self.beta_0),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JointRun:
        """Inverse of `to_json`.  Raises `InvalidRun` if the object is damaged."""
        try:
            return cls(
                loss=data["loss"],
                steps=data["steps"],
                eta_W=from_hexadecimal(data["eta_W"]),
                eta_u=from_hexadecimal(data["eta_u"]),
                power_W=data["power_W"],
                power_u=data["power_u"],
                start=data["start"],
                alpha_0=None if data["alpha_0"] is None else from_hexadecimal(data["alpha_0"]),
                beta_0=None if data["beta_0"] is None else from_hexadecimal(data["beta_0"]),
            )
        except (KeyError, TypeError, InvalidDataset) as error:
            raise InvalidRun(f"the stored run is damaged ({error}): restore the file") from None


def _step_length(name: str, value: object) -> float:
    number = math.nan
    if isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond float64
            number = math.inf
    if not 0.0 < number < math.inf:
        raise InvalidRun(f"{name} = {value!r}: give a positive, finite first step length")
    return number


def _power(name: str, value: object) -> Fraction:
    power = None
    if isinstance(value, int | str | Fraction) and not isinstance(value, bool):
        try:
            power = Fraction(value)
        except (ValueError, ZeroDivisionError):
            power = None
    if power is None:
        raise InvalidRun(f'{name} = {value!r}: give an exact rational such as Fraction(2, 3) or "2/3"')
    if not 0 <= power <= _MAX_POWER or power.denominator > _MAX_DENOMINATOR:
        raise InvalidRun(
            f"{name} = {power}: give a power from 0 to {_MAX_POWER} with a denominator up to {_MAX_DENOMINATOR}"
        )
    return power


def _coefficients(name: str, values: ArrayLike | None) -> Array | None:
    if values is None:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRun(f"{name} is ragged or not numeric: give one coefficient a feature") from None
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidRun(f"{name} must be a vector of finite numbers, one a feature")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class JointInstance:
    """One dataset and one joint run.  The dataset's ``u`` only designates the optimal tokens o_i.

    Raises
    ------
    InvalidRun
        If initial coefficients do not fit the dataset.
    """

    dataset: TokenDataset
    run: JointRun

    def __post_init__(self) -> None:
        for name, size in (("alpha_0", self.dataset.N), ("beta_0", self.dataset.n * self.dataset.T)):
            given = getattr(self.run, name)
            if given is not None and given.size != size:
                raise InvalidRun(f"{name} has {given.size} coefficients: this dataset needs {size}")

    def with_run(self, **changes: Any) -> JointInstance:
        """The same dataset with fields of the run replaced."""
        return JointInstance(self.dataset, replace(self.run, **changes))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that holds the instance without loss; ``"system"`` tells it from other systems'."""
        return {"system": SYSTEM, "dataset": self.dataset.to_json(), "run": self.run.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JointInstance:
        """Inverse of `to_json`.  Raises `InvalidDataset` or `InvalidRun`."""
        try:
            system, dataset, run = data["system"], data["dataset"], data["run"]
        except (KeyError, TypeError):
            raise InvalidDataset("the stored instance has no system, dataset or run: restore the file") from None
        if system != SYSTEM:
            raise InvalidDataset(f"the stored instance is one of the system {system!r}, not {SYSTEM!r}")
        return cls(TokenDataset.from_json(dataset), JointRun.from_json(run))

    @property
    def id(self) -> str:
        """Short content identifier: equal exactly when dataset and run are."""
        return content_id(self.to_json())
