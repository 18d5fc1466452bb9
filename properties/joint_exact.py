"""The observables of a joint run in Arb balls, as far as it has been replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flint import arb

from models.joint import JointGeometry, JointInstance
from models.joint_replay import JointBallState, JointExactSetting, joint_replay
from models.replay import largest, total
from properties.observables import Undefined, smallest

_SINCE_T1 = frozenset({"u_norm_1", "u_alignment_1", "u_master_sum", "u_growth_sum"})


class JointExactMeasurement:
    """The joint counterpart of `properties.observables.ExactMeasurement`, with the same use.

    t1 is found by the balls themselves: the first step from which a_t > 0 and u ≠ 0 are proved up to the latest
    state.  Where the latest state leaves it open, what looks back to t1 is NaN: nothing is concluded from it.

    Parameters
    ----------
    onset : int or None
        t0 as the float run found it, from which W's accumulated observables start.
    needed : set of str
        Observables that will be asked for; only their histories are kept.
    """

    def __init__(self, setting: JointExactSetting, onset: int | None, needed: frozenset[str]) -> None:
        self.setting = setting
        self.onset = onset
        self.needed = needed
        self.state: JointBallState | None = None
        self.next_loss_gap: arb | None = None  # the infimum of the loss is 0: joint claims use the loss itself
        self._first: dict[str, arb] = {}
        self._largest: dict[str, arb] = {}
        self._sums = {name: arb(0) for name in ("master_sum", "u_step_sum")}
        self._since_t1: dict[str, arb] = {}
        self._stretch = False  # whether a_t > 0 is proved at the latest state

    def advance(self, state: JointBallState) -> None:
        """Take the next state of the run."""
        self.state = state
        if self.onset is not None and state.t >= self.onset:
            if state.t == self.onset:
                self._first["norm_1"] = state.norm
                if state.alignment is not None:
                    self._first["alignment_1"] = state.alignment
            self._raise("Lambda_max", state.Lambda)
            self._raise("step_length_max", lambda: state.length)
        if self.needed & _SINCE_T1:
            self._follow_decoder(state)

    def _follow_decoder(self, state: JointBallState) -> None:
        """Begin, continue or end the stretch of a_t > 0."""
        margin = self._attended_margin(state)
        proved = margin is not None and margin > 0 and state.u_norm > 0
        if proved and state.u_alignment is not None:
            if not self._stretch:
                self._since_t1 = {"u_norm_1": state.u_norm, "u_alignment_1": state.u_alignment}
            self._stretch = True
            return
        self._stretch = False
        refuted = margin is None or margin <= 0 or state.u_norm.is_zero()
        self._since_t1 = {} if refuted else dict.fromkeys(_SINCE_T1, arb.nan())

    def _attended_margin(self, state: JointBallState) -> arb | None:
        mu = self.setting.mu()
        return None if mu is None else mu - state.attended_error

    def leave(self) -> None:
        """Account for the step away from the latest state."""
        state = self.state
        if state is None:
            return
        if "u_step_sum" in self.needed:
            self._sums["u_step_sum"] += state.u_length
        if "master_sum" in self.needed and self.onset is not None and state.t >= self.onset:
            self._sums["master_sum"] += state.master_term()
        margin = self._attended_margin(state)
        if self._stretch and margin is not None:
            grown = state.u_length * margin / self.setting.token_radius()
            for name, term in (("u_master_sum", state.u_master_term()), ("u_growth_sum", grown)):
                self._since_t1[name] = self._since_t1.get(name, arb(0)) + term

    def _raise(self, name: str, value: Callable[[], arb]) -> None:
        if name in self.needed:
            new = value()
            self._largest[name] = self._largest[name].max(new) if name in self._largest else new

    def __getitem__(self, name: str) -> arb:
        """The observable as a ball.  Raises `Undefined`."""
        state = self.state
        if state is None:
            raise Undefined("no state has been replayed yet")
        for kept in (self._first, self._largest, self._since_t1):
            if name in kept:
                return kept[name]
        # At an onset its sums are empty: what they bound there is an equality, and says nothing.
        if name == "u_step_sum" or (name == "master_sum" and self.onset is not None and state.t > self.onset):
            return self._sums[name]
        if name == "attended_margin":
            return _mu(self.setting) - state.attended_error
        if name in _CONSTANT:
            return _CONSTANT[name](self.setting)
        if name in _STATE:
            return _STATE[name](state)
        raise Undefined(f"{name} is not defined at step {state.t} of this run")


def exact_walk(
    instance: JointInstance, geometry: JointGeometry, onset: int | None, needed: frozenset[str]
) -> tuple[JointExactMeasurement, Iterator[JointBallState]]:
    """A joint run in balls at the working precision: its observables, to be fed with its states in order."""
    setting = JointExactSetting(instance, geometry)
    return JointExactMeasurement(setting, onset, needed), joint_replay(setting)


def _gamma(setting: JointExactSetting) -> arb:
    gamma = setting.gamma()
    if gamma is None:
        raise Undefined("γ does not exist: the tokens are not separable")
    return gamma


def _mu(setting: JointExactSetting) -> arb:
    mu = setting.mu()
    if mu is None:
        raise Undefined("μ does not exist: the optimal tokens are not separable by a decoder")
    return mu


def _aligned(state: JointBallState) -> arb:
    if state.alignment is None:
        raise Undefined("⟨W, Ŵ⟩ does not exist: the tokens are not separable")
    return state.alignment


def _u_aligned(state: JointBallState) -> arb:
    if state.u_alignment is None:
        raise Undefined("⟨u, û⟩ does not exist: the optimal tokens are not separable by a decoder")
    return state.u_alignment


def _gap(state: JointBallState) -> arb:
    if not state.norm > 0:
        raise Undefined("the direction gap is undefined while W = 0")
    return (state.norm - _aligned(state)) / state.norm


def _u_gap(state: JointBallState) -> arb:
    if not state.u_norm > 0:
        raise Undefined("the decoder's direction gap is undefined while u = 0")
    return (state.u_norm - _u_aligned(state)) / state.u_norm


def _u_deviation(state: JointBallState) -> arb:
    twice = 2 * _u_gap(state)
    # The gap is not negative, though its ball may reach below zero.
    return twice.sqrt() if twice > 0 else arb(0).union(twice.abs_upper().sqrt())


def _mean_margin(state: JointBallState) -> arb:
    return total([c * m for c, m in zip(state.c, state.m, strict=True)]) / total(state.c)


#: Constants of an instance, in balls.
_CONSTANT: dict[str, Callable[[JointExactSetting], arb]] = {
    "eta_W": lambda s: arb(s.eta_W),
    "eta_u": lambda s: arb(s.eta_u),
    "n": lambda s: arb(s.instance.dataset.n),
    "T": lambda s: arb(s.instance.dataset.T),
    "d": lambda s: arb(s.instance.dataset.d),
    "N": lambda s: arb(s.instance.dataset.N),
    "gamma": _gamma,
    "B": lambda s: arb(s.geometry.features.exact_radius_sq).sqrt(),
    "mu": _mu,
    "token_radius": lambda s: s.token_radius(),
    "loss_0": lambda s: arb(1) if s.instance.run.loss == "exponential" else arb(2).log(),
}

#: Observables of one state, in balls.
_STATE: dict[str, Callable[[JointBallState], arb]] = {
    "t": lambda s: arb(s.t),
    "norm": lambda s: s.norm,
    "alignment": _aligned,
    "direction_gap": _gap,
    "grad_norm": lambda s: s.grad_norm,
    "s_min": lambda s: smallest(s.s),
    "leak_max": lambda s: largest(s.leak),
    "margin_min": lambda s: smallest(s.m),
    "margin_mean": _mean_margin,
    "step_length": lambda s: s.length,
    "Lambda": lambda s: s.Lambda(),
    "u_norm": lambda s: s.u_norm,
    "u_alignment": _u_aligned,
    "u_direction_gap": _u_gap,
    "u_deviation": _u_deviation,
    "u_margin": lambda s: smallest(s.best),
    "attended_error": lambda s: s.attended_error,
    "u_Lambda": lambda s: s.u_Lambda(),
    "loss": lambda s: s.loss,
}
