# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera as its driver deals with it: polling, slewing, commands, and stopping. No ROS in here.

One thread does all the sending. Everybody else leaves an order and goes on; what the camera says is
taken in the thread that reads it. The gimbal is told to stop with the first bytes of every
connection, before the last bytes of one that is closed on purpose, and at every end of a slew.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from thebox_sensors.protocol_base import wrap_angle
from thebox_sensors.trakka import protocol
from thebox_sensors.trakka.gimbal import GimbalController, Limits, SlewState
from thebox_sensors.trakka.poses import PoseHistory
from thebox_sensors.transport import Transport, TransportError

__all__ = ["Aim", "Camera", "Ended", "GimbalView", "Outcome", "PoseHistory", "Progress", "Slew"]

Outcome = Literal["settled", "timeout", "cancelled", "preempted", "disconnected", "refused"]

Aim = Callable[[], tuple[float, float]]
"""Azimuth and elevation to look at now, relative to the gimbal's base, radians; raises ValueError
with a text for the operator when that is not known."""

_PAIR_WINDOW = 0.1
"""Azimuth and elevation read further apart than this are no pair, seconds."""
_AGAIN, _TELL_PERIOD = 5.0, 60.0
"""What the same asker asks for again within the first is logged once in the second, seconds: a
program that aims twice a second would fill the log."""
_CONFIRM = 0.5
"""How long the end of a session waits for a sign that the stop has been read, seconds."""


@dataclass(frozen=True)
class Progress:
    """How far a slew is."""

    azimuth: float
    elevation: float
    error: float
    """Angle still to go, radians."""


@dataclass(frozen=True)
class Ended:
    """How a slew ended."""

    outcome: Outcome
    message: str
    azimuth: float
    elevation: float
    error: float
    duration: float


@dataclass
class Slew:
    """One slew that somebody asked for."""

    aim: Aim
    tolerance: float
    timeout: float
    by: str
    follow: bool
    """Keep the target in the middle after settling."""
    progress: Callable[[Progress], None]
    ended: Callable[[Ended], None]
    begun: float = field(default=math.nan, init=False)
    told: bool = field(default=True, init=False)
    """Whether its beginning went into the log; then its end does too."""


@dataclass(frozen=True)
class GimbalView:
    """What is known of the gimbal; unknown numbers are NaN."""

    linked: bool
    stamp: float
    """When the angles were read, seconds of the driver's clock."""
    azimuth: float
    elevation: float
    azimuth_rate: float
    elevation_rate: float
    mode: int | None
    """A `protocol.GimbalMode`."""
    zoom: tuple[float, float, float]
    slewing: bool
    following: bool
    steered_by: str


_NAN = math.nan
_UNKNOWN_VIEW = GimbalView(
    False, _NAN, _NAN, _NAN, _NAN, _NAN, None, (_NAN, _NAN, _NAN), False, False, ""
)


class Camera:
    """The camera's link, gimbal and slews.

    Args:
        transport: the open transport, None while there is none.
        give_up: called with the reason when the link is there but dead: it is to be opened anew.
        log: takes a line for the operator.
        limits: of the gimbal.
        poll_rate: how often the angles are asked for, Hz.
        link_timeout: silence after which the link is taken for dead, seconds.
        angles_stale_after: angles older than this are not known, seconds.
        settle_time: how long both axes must stay within the tolerance, seconds.
    """

    def __init__(
        self,
        transport: Callable[[], Transport | None],
        give_up: Callable[[str], None],
        log: Callable[[str], None],
        *,
        limits: Limits | None = None,
        poll_rate: float = 20.0,
        link_timeout: float = 3.0,
        angles_stale_after: float = 0.5,
        settle_time: float = 0.3,
    ) -> None:
        self._transport = transport
        self._give_up = give_up
        self._log = log
        self._period = 1.0 / poll_rate
        self._link_timeout = link_timeout
        self._stale_after = angles_stale_after
        self._controller = GimbalController(
            limits, settle_time=settle_time, stale_after=angles_stale_after
        )
        self.poses = PoseHistory()
        #: Whether the link broke while the gimbal was being moved, and it could not be told to
        #: stop; true until it has been.
        self.left_moving = False
        self._changed = threading.Condition()
        self._orders: deque[Callable[[float], None]] = deque()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._link: Transport | None = None
        self._heard = math.nan
        self._azimuth = (math.nan, math.nan)
        self._pair = (math.nan, math.nan, math.nan, math.nan)
        """Azimuth, elevation, when on the steady clock, when on the driver's."""
        self._fresh = False
        self._mode: int | None = None
        self._zoom = [math.nan] * 3
        self._slew: Slew | None = None
        self._followed: Slew | None = None
        self._steered = -math.inf
        self._told: dict[str, tuple[str, float, float]] = {}
        """By what is asked for: who did so last, when, and when that was last logged."""

    # Life -------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start the thread that sends."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{name}-camera", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End slews, stop the gimbal, wait for a sign that it read that, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # From the reader --------------------------------------------------------------------------

    def connected(self, transport: Transport) -> None:
        """Take note of a connection: whatever was known is no longer."""
        self.poses.clear()
        with self._changed:
            self._forget()
        self._order(lambda now: self._begin_link(transport, now))

    def take(self, record: protocol.RegisterValue, stamp: float, age: float = 0.0) -> None:
        """Take the value of a register.

        Args:
            record: as the parser made it.
            stamp: when it was measured, on the driver's clock, seconds.
            age: how long ago that was, seconds: a busy machine reads late, and a slew must not
                be steered by angles of then as if they were those of now.
        """
        now = time.monotonic() - age
        register, value = record.register, record.value
        with self._changed:
            self._heard = now + age
            if not record.unbroken:
                # The elevation that belonged to it may be among what was lost: the next one
                # would be of a later poll, when the gimbal has turned on.
                self._azimuth = (math.nan, math.nan)
            if register is protocol.Register.AZIMUTH:
                self._azimuth = (value, now)
            elif register is protocol.Register.ELEVATION:
                azimuth, read = self._azimuth
                self._azimuth = (math.nan, math.nan)
                # False for NaN: without the azimuth of the same poll there is no pair.
                if now - read <= _PAIR_WINDOW:
                    self._pair = (azimuth, value, now, stamp)
                    self._fresh = True
                    self.poses.add(stamp, azimuth, value)
                    self._changed.notify_all()
            elif register is protocol.Register.GIMBAL_MODE:
                self._mode = int(value)
            else:
                place = (
                    protocol.Register.ZOOM_1,
                    protocol.Register.ZOOM_2,
                    protocol.Register.ZOOM_3,
                ).index(register)
                self._zoom[place] = value

    def heard(self) -> None:
        """Anything else was heard: the link lives."""
        with self._changed:
            self._heard = time.monotonic()

    # Orders -----------------------------------------------------------------------------------

    def slew(self, slew: Slew) -> None:
        """Begin a slew; one under way is preempted. Its ``ended`` is called once, whatever comes.

        ``ended`` and ``progress`` are called in the sending thread.
        """
        if not self._order(lambda now: self._begin(slew, now)):
            slew.ended(self._end_of(slew, "refused", "the driver is not active", time.monotonic()))

    def cancel(self, slew: Slew) -> None:
        """Stop a slew, if it is still under way."""

        def order(now: float) -> None:
            if self._slew is slew:
                self._finish("cancelled", "cancelled", now, self._controller.cancel())

        self._order(order)

    def command(self, commands: bytes, what: str, by: str, ends_slew: bool) -> str:
        """Send a command.

        Args:
            commands: bytes.
            what: what it does, for the log.
            by: who asks.
            ends_slew: whether it takes the gimbal over from a slew or a point that is followed.

        Returns:
            Why it can't be sent; empty when it is on its way.
        """
        unfit = self._unfit()
        if unfit:
            return unfit

        def order(now: float) -> None:
            if ends_slew:
                reason = f"{what} by {by or 'somebody unnamed'}"
                self._finish("preempted", reason, now, self._controller.cancel())
                self._followed = None
            if self._send(commands) and self._worth_telling(what, by, now):
                self._log(f"{what}, asked for by {by or 'somebody unnamed'}")

        if not self._order(order):
            return "the driver is not active"
        return ""

    def release(self, by: str) -> None:
        """End the slew and the following of everybody but ``by``: the camera has been locked."""

        def order(now: float) -> None:
            current = self._slew or self._followed
            if current is not None and current.by != by:
                self._finish("preempted", f"{by} holds the camera", now, self._controller.cancel())
                self._followed = None

        self._order(order)

    # What is known ----------------------------------------------------------------------------

    @property
    def linked(self) -> bool:
        """Whether there is a connection on which commands go."""
        return self._link is not None

    @property
    def slewing(self) -> bool:
        """Whether a slew is under way."""
        return self._controller.moving

    def view(self) -> GimbalView:
        """Tell what is known of the gimbal now; old angles are not."""
        rates = self.poses.rates()
        with self._changed:
            if self._link is None:
                return _UNKNOWN_VIEW
            azimuth, elevation, read, stamp = self._pair
            if not time.monotonic() - read <= self._stale_after:
                azimuth = elevation = stamp = math.nan
                rates = (math.nan, math.nan)
            current = self._slew or self._followed
            return GimbalView(
                True,
                stamp,
                azimuth,
                elevation,
                *rates,
                self._mode,
                (self._zoom[0], self._zoom[1], self._zoom[2]),
                self._controller.moving,
                self._controller.holding,
                current.by if current is not None else "",
            )

    def _unfit(self) -> str:
        """Say why nothing can be commanded; empty when it can."""
        link = self._link
        if link is None:
            return "the camera is not connected: see the driver's diagnostics"
        if link.url.scheme == "file":
            return "a capture is being replayed: there is no camera to command"
        return ""

    # The sending thread -----------------------------------------------------------------------

    def _order(self, order: Callable[[float], None]) -> bool:
        with self._changed:
            if self._stopping or self._thread is None:
                return False
            self._orders.append(order)
            self._changed.notify_all()
            return True

    def _run(self) -> None:
        due = {"angles": 0.0, "mode": 0.0, "zoom": 0.0}
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._orders or self._fresh,
                    timeout=max(0.0, due["angles"] - time.monotonic()),
                )
                stopping = self._stopping
                orders = list(self._orders)
                self._orders.clear()
                fresh, self._fresh = self._fresh, False
            now = time.monotonic()
            for order in orders:
                order(now)
            if stopping:
                self._end_session(now)
                return
            if not self._check_link(now):
                due["angles"] = now + self._period
                continue
            if now >= due["angles"]:
                wanted: list[protocol.PollItem] = ["angles"]
                due["angles"] = max(due["angles"] + self._period, now)
                if now >= due["mode"]:
                    wanted.append("mode")
                    due["mode"] = now + 0.5
                if now >= due["zoom"]:
                    wanted.append("zoom")
                    due["zoom"] = now + 1.0
                self._send(protocol.poll(*wanted))
            if fresh or now - self._steered >= self._period:
                self._steer(now)

    def _begin_link(self, transport: Transport, now: float) -> None:
        self._lose("a new connection began", now)
        with self._changed:
            self._forget()
            self._link = transport
            self._heard = now
        if self._send(protocol.stop() + protocol.enable_target_messages()):
            self.left_moving = False

    def _forget(self) -> None:
        self._azimuth = (math.nan, math.nan)
        self._pair = (math.nan,) * 4
        self._fresh = False
        self._mode = None
        self._zoom = [math.nan] * 3

    def _check_link(self, now: float) -> bool:
        if self._link is None:
            return False
        if self._transport() is not self._link:
            self._lose("the connection was lost", now)
            return False
        silent = now - self._heard
        if self._link.url.scheme == "file":
            return True
        if silent > self._link_timeout:
            self._abandon(f"the camera has not answered for {silent:.1f} s", now)
            return False
        return True

    def _abandon(self, reason: str, now: float) -> None:
        self._lose(reason, now)
        self._give_up(reason)

    def _lose(self, reason: str, now: float) -> None:
        if self._link is None:
            return
        moved = self._controller.moving or self._controller.holding
        self._controller.disconnected()
        with self._changed:
            self._link = None
            self._forget()
        self.poses.clear()
        if moved:
            self.left_moving = True
            self._log(f"{reason} while the gimbal was moving: it is stopped on reconnection")
        self._finish("disconnected", reason, now, b"")
        self._followed = None

    def _send(self, data: bytes) -> bool:
        link = self._link
        if link is None:
            return False
        if not data or link.url.scheme == "file":
            return True
        try:
            link.send(data)
        except TransportError as error:
            self._abandon(str(error), time.monotonic())
            return False
        return True

    def _begin(self, slew: Slew, now: float) -> None:
        slew.begun = now
        unfit = self._unfit()
        if unfit:
            slew.ended(self._end_of(slew, "refused", unfit, now))
            return
        before = self._slew
        preempted = None
        if before is not None:
            message = f"{slew.by or 'somebody unnamed'} asked for another slew"
            preempted = self._end_of(before, "preempted", message, now)
        try:
            # A goal that can't be met preempts nobody: what raises here leaves all as it was.
            azimuth, elevation = slew.aim()
            commands = self._controller.start(now, azimuth, elevation, slew.timeout)
        except ValueError as error:
            slew.ended(self._end_of(slew, "refused", str(error), now))
            return
        self._controller.tolerance = slew.tolerance
        self._followed = None
        slew.told = self._worth_telling("slew", slew.by, now)
        if before is not None and preempted is not None:
            if slew.told:
                self._log(f"slew ended after {preempted.duration:.1f} s: {preempted.message}")
            before.ended(preempted)
        self._slew = slew
        if slew.told:
            self._log(
                f"slew to azimuth {math.degrees(azimuth):.1f}, elevation "
                f"{math.degrees(elevation):.1f} deg, asked for by {slew.by or 'somebody unnamed'}"
            )
        self._send(commands)

    def _worth_telling(self, what: str, by: str, now: float) -> bool:
        """Whether a request belongs in the log, and not only in the state that is published."""
        before, asked, told = self._told.get(what, ("", -math.inf, -math.inf))
        worth = by != before or now - asked >= _AGAIN or now - told >= _TELL_PERIOD
        self._told[what] = (by, now, now if worth else told)
        return worth

    def _steer(self, now: float) -> None:
        self._steered = now
        controller, current = self._controller, self._slew or self._followed
        if current is None or not (controller.moving or controller.holding):
            return
        try:
            controller.retarget(now, *current.aim())
        except ValueError as error:
            reason = f"the target cannot be followed: {error}"
            if self._slew is None:
                self._log(reason)
            self._finish("refused", reason, now, controller.cancel())
            self._followed = None
            return
        azimuth, elevation, read, _ = self._pair
        update = controller.update(now, azimuth, elevation, read)
        if not self._send(update.commands):
            return
        slew = self._slew
        if slew is None:
            if not controller.holding:
                self._log("the angles stopped coming: the point is no longer followed")
                self._followed = None
            return
        if controller.moving:
            slew.progress(Progress(azimuth, elevation, self._error()))
        elif update.state is SlewState.SETTLED:
            self._finish("settled", "settled", now, b"")
            if slew.follow:
                controller.hold()
                self._followed = slew
        elif update.state is SlewState.TIMED_OUT:
            self._finish("timeout", f"not settled within {slew.timeout:g} s", now, b"")
        else:
            self._finish("disconnected", "the angles stopped coming", now, b"")

    def _error(self) -> float:
        azimuth, elevation, _, _ = self._pair
        # update() commands nothing when no slew is under way; it only says how far it is.
        target = self._controller.target
        across = wrap_angle(target[0] - azimuth) * math.cos(elevation)
        return math.hypot(across, target[1] - elevation)

    def _end_of(self, slew: Slew, outcome: Outcome, message: str, now: float) -> Ended:
        azimuth, elevation, _, _ = self._pair
        error = self._error() if not math.isnan(slew.begun) and self._slew is slew else math.nan
        return Ended(outcome, message, azimuth, elevation, error, now - slew.begun)

    def _finish(self, outcome: Outcome, message: str, now: float, commands: bytes) -> None:
        """Tell the asker of the slew under way how it ended, after the stop has been sent."""
        slew = self._slew
        self._send(commands)
        if slew is None or self._slew is not slew:
            return
        ended = self._end_of(slew, outcome, message, now)
        self._slew = None
        if slew.told or outcome != "settled":
            self._log(f"slew ended after {ended.duration:.1f} s: {message}")
        slew.ended(ended)

    def _end_session(self, now: float) -> None:
        sent = time.monotonic()
        self._send(self._controller.cancel() + protocol.poll("angles"))
        self._finish("cancelled", "the driver is stopped", now, b"")
        self._followed = None
        with self._changed:
            if self._link is not None and self._link.url.scheme != "file":
                # Closing with unread bytes resets the connection, and a reset can overtake the
                # stop: its answer shows that the camera has read so far.
                self._changed.wait_for(lambda: self._pair[2] > sent, timeout=_CONFIRM)
            self._link = None
            self._forget()
