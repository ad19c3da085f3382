# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A window of the operator's panel in a real browser, for the tests that drive it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

#: Milliseconds that anything may take.
PATIENCE = 60_000
PASSWORDS = {"anna": "harbour-lantern-7", "vera": "quiet-window-4"}

#: Box of the pixels that differ between the picture's sky now and as it was kept.
GRAB = """() => {
  const canvas = document.querySelectorAll('canvas.sheet')[1];
  const now = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const old = window.kept;
  window.kept = now;
  if (!old || old.width !== now.width || old.height !== now.height) return null;
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let i = 0; i < now.data.length; i += 4) {
    if (now.data[i] === old.data[i] && now.data[i + 1] === old.data[i + 1]
        && now.data[i + 2] === old.data[i + 2] && now.data[i + 3] === old.data[i + 3]) continue;
    const x = (i / 4) % now.width, y = Math.floor(i / 4 / now.width);
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  return right < 0 ? null : [left, top, right, bottom];
}"""

#: Counts the tones that the alert's sound is made of.
LISTEN = """() => {
  window.tones = 0;
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...when) {
    window.tones++;
    return start.apply(this, when);
  };
}"""


class Console:
    """One browser window, logged in; it takes note of everything that went wrong in it."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1440, "height": 900})
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._said)
        self.page.goto(url)

    def _said(self, message: Any) -> None:
        # A refused login and a bridge that is away are meant to be told in the console.
        wanted = re.search(r"status of 40[13]|WebSocket|ERR_CONNECTION", message.text)
        if message.type == "error" and not wanted:
            self.faults.append(message.text)

    def log_in(self, user: str) -> Console:
        self.page.get_by_label("User").fill(user)
        self.page.get_by_label("Password").fill(PASSWORDS[user])
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.locator('[data-link="open"]')).to_be_visible()
        self.wait("() => thebox.picture().tracks.some((one) => one.state === 'confirmed')")
        return self

    def wait(self, script: str, argument: Any = None) -> Any:
        return self.page.wait_for_function(script, arg=argument, timeout=PATIENCE).json_value()

    def open(self, label: str) -> None:
        self.page.get_by_role("tab", name=re.compile(f"^{label}")).click()

    def picture(self, name: str) -> None:
        folder = os.environ.get("THEBOX_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"panel-{name}.png")

    def select_none(self) -> None:
        self.page.evaluate("() => document.activeElement?.blur()")
        self.page.keyboard.press("Escape")
        expect(self.page.locator("[data-test=detail]")).to_have_count(0)

    def close(self) -> None:
        faults, self.faults = self.faults, []
        self.context.close()
        assert faults == []
