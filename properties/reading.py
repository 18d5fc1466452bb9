"""What float64 read of an observable: values with absolute errors, plain or as logarithms, not yet balls.

Balls carry exponents and are dear; a reading is turned into balls where they are needed: at once for one claim,
step by step in `properties.tape_kernel` for many, a batch at a time for what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.dataset import Array
from properties.balls import BallArray
from properties.measured import Measured


@dataclass(frozen=True, eq=False)
class Reading:
    """Numbers known up to an error.

    Attributes
    ----------
    values, error : array, shape (R,) or ()
        The observable at every recorded step (or once), or its natural logarithm, and an absolute error of that.
    logarithmic : bool
        Whether ``values`` are logarithms: what is read lies in e^(values ± error).
    """

    values: Array
    error: Array
    logarithmic: bool = False

    def balls(self) -> BallArray:
        """The same as balls."""
        make = BallArray.of_log if self.logarithmic else BallArray.of
        return make(self.values, self.error)

    def at(self, rows: Any) -> Reading:
        """The reading at one row, or at several."""
        return Reading(np.asarray(self.values[rows]), np.asarray(self.error[rows]), self.logarithmic)


def read(measurement: Measured, name: str) -> Reading | BallArray:
    """An observable, as a reading where the measurement has one.  Raises `Undefined`."""
    found: Reading | BallArray = getattr(measurement, "reading", measurement.__getitem__)(name)
    return found
