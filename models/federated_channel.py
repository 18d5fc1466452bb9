"""What a fading channel does to a sum of signals: Rayleigh fading and symmetric α-stable interference, by seed.

The uniform numbers are the raw output of PCG64, and what is made of them is rounded to single precision: two
mathematical libraries that differ in the last digits of a double give the same run but in one case of 2²⁹.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array

#: Steps whose numbers are drawn at once.
CHUNK = 512
_MEAN = math.sqrt(2.0 / math.pi)  # a Rayleigh number √(−2 log u) times this has mean 1


@dataclass(frozen=True)
class Channel:
    """Fading and interference of ``repetitions`` independent runs.

    Parameters
    ----------
    seed : int
    repetitions, clients, coordinates : int
    tail_index : float
        α in (1, 2]: E e^{isξ} = e^{−|s|^α} for a number ξ of scale 1.
    scale : float
        What ξ is multiplied by.
    fading : bool
        Without it h = 1.
    """

    seed: int
    repetitions: int
    clients: int
    coordinates: int
    tail_index: float
    scale: float
    fading: bool

    def chunks(self, steps: int) -> Iterator[tuple[Array, Array]]:
        """h and ξ of the steps 0, 1, …, in pieces of at most `CHUNK`; a longer run begins with the same numbers.

        Yields
        ------
        h : array, shape (steps, repetitions, clients)
        xi : array, shape (steps, repetitions, coordinates)
        """
        source = np.random.PCG64(self.seed)
        width = self.clients + 2 * self.coordinates
        for first in range(0, steps, CHUNK):
            shape = (min(CHUNK, steps - first), self.repetitions, width)
            raw = source.random_raw(math.prod(shape)).reshape(shape)
            h, xi = received(raw, self.clients, self.tail_index)
            yield h.astype(np.float64) if self.fading else np.ones(h.shape), self.scale * xi.astype(np.float64)


@njit(cache=True, error_model="numpy")
def received(
    raw: NDArray[np.uint64], clients: int, alpha: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fading and interference of scale 1 from random bits, the latter by Chambers, Mallows and Stuck's formula.

    Parameters
    ----------
    raw : array of uint64, shape (steps, repetitions, clients + 2·coordinates)
    clients : int
    alpha : float

    Returns
    -------
    h : array, shape (steps, repetitions, clients)
        Mean 1.
    xi : array, shape (steps, repetitions, coordinates)
        sin(αU)/(cos U)^{1/α} · (cos((1 − α)U)/W)^{(1−α)/α}, U uniform in (−π/2, π/2), W exponential of mean 1.
    """
    steps, repetitions, width = raw.shape
    coordinates = (width - clients) // 2
    h = np.empty((steps, repetitions, clients), dtype=np.float32)
    xi = np.empty((steps, repetitions, coordinates), dtype=np.float32)
    for k in range(steps):
        for r in range(repetitions):
            for n in range(clients):
                h[k, r, n] = _MEAN * math.sqrt(-2.0 * math.log(_uniform(raw[k, r, n])))
            for i in range(coordinates):
                angle = math.pi * (_uniform(raw[k, r, clients + 2 * i]) - 0.5)
                wait = -math.log(_uniform(raw[k, r, clients + 2 * i + 1]))
                slant = (math.cos((1.0 - alpha) * angle) / wait) ** ((1.0 - alpha) / alpha)
                xi[k, r, i] = math.sin(alpha * angle) / math.cos(angle) ** (1.0 / alpha) * slant
    return h, xi


@njit(cache=True, error_model="numpy")
def _uniform(bits: int) -> float:
    """The middle of one of 2⁵² equal parts of (0, 1)."""
    return (np.float64(bits >> np.uint64(12)) + 0.5) * 2.0**-52
