# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The operator's panel in a real, headless Chromium, against a live box on the simulated sky.

One box and one browser serve all tests of this module. Pictures of each view go to the folder that
THEBOX_SCREENSHOTS names. Waits are for events, with a generous bound; none is for a fixed time.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright here: run through ./thebox test"
)
# The box and the browser, which all tests here share, start within bounds of their own.
pytestmark = [pytest.mark.graph, pytest.mark.timeout(120, func_only=True)]

ROOT = Path(__file__).resolve().parents[1]


def _window() -> Any:
    found = importlib.util.spec_from_file_location(
        "panel_window", Path(__file__).with_name("panel_window.py")
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


WINDOW = _window()
Console, PASSWORDS = WINDOW.Console, WINDOW.PASSWORDS
GRAB, LISTEN = WINDOW.GRAB, WINDOW.LISTEN
DIST = ROOT / "src" / "thebox_webui" / "panel" / "dist"
expect = sync_api.expect
expect.set_options(timeout=WINDOW.PATIENCE)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def box(
    chromium: str, module_graph: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A running box; ``box.url`` is its panel's address."""
    if not (DIST / "index.html").is_file():
        pytest.skip("the panel is not built: ./thebox build with Node.js 20.19 or newer")
    from thebox_webui.accounts import Account, hash_password, save_accounts

    folder = tmp_path_factory.mktemp("panel")
    accounts = folder / "accounts.json"
    save_accounts(
        accounts,
        {
            "anna": Account("anna", "operator", hash_password(PASSWORDS["anna"])),
            "vera": Account("vera", "viewer", hash_password(PASSWORDS["vera"])),
        },
    )
    live = module_graph(
        *("--scenario", "harbour", "--without", "markers,vision"),
        # A browser beside it: a busy machine takes longer than a box by itself.
        *("--timeout", "240"),
        *("--set", f"panel.accounts_file={accounts}"),
        *("--set", f"panel.static_folder={DIST}"),
        *("--set", f"panel.settings_file={folder / 'site.yaml'}"),
        *("--set", f"dronedb.path={folder / 'drone.db'}"),
    )
    try:
        live.wait_for(r"TheBox is up after", 300.0)
        live.url = live.wait_for(r"(http://127\.0\.0\.1:\d+/)").group(1)
    except BaseException:
        # The second try starts another one: two in one domain would both be broken.
        live.close()
        raise
    live.settings_file = folder / "site.yaml"
    return live


@pytest.fixture(scope="module")
def browser(chromium: str, box: Any) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def anna_logged_in(browser: Any, box: Any) -> Iterator[Console]:
    console = Console(browser, box.url)
    try:
        yield console.log_in("anna")
    finally:
        console.close()


@pytest.fixture
def anna(anna_logged_in: Console) -> Console:
    """The operator's window as each test wants it: live, nothing selected, the list of tracks."""
    page = anna_logged_in.page
    page.evaluate("() => document.activeElement?.blur()")
    page.keyboard.press("l")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    anna_logged_in.open("Tracks")
    return anna_logged_in


@pytest.fixture
def console(browser: Any, box: Any) -> Iterator[Callable[..., Console]]:
    """Opens further windows."""
    opened: list[Console] = []

    def start(**options: Any) -> Console:
        opened.append(Console(browser, box.url, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_login_is_asked_for_and_a_wrong_password_refused(console: Callable[..., Console]) -> None:
    window = console()
    page = window.page
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill("not her password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    window.picture("login")
    window.log_in("anna")
    expect(page.locator("[data-test=role]")).to_have_text("operator")


def test_tracks_appear_and_move(anna: Console) -> None:
    first = anna.wait(
        """() => {
          const moves = (one) => one.fixed && one.state === 'confirmed' && one.speed > 3;
          const one = thebox.picture().tracks.find(moves);
          return one && { id: one.id, at: thebox.pixelOf(one.id) };
        }"""
    )
    assert first["at"] is not None
    moved = anna.wait(
        """(first) => {
          const at = thebox.pixelOf(first.id);
          return at && Math.hypot(at[0] - first.at[0], at[1] - first.at[1]) > 2 && at;
        }""",
        first,
    )
    assert moved != first["at"]
    expect(anna.page.locator("[data-track-row]").first).to_be_visible()
    anna.picture("tracks")


def test_a_bearing_only_track_is_a_wedge_and_a_ranged_one_a_dot(anna: Console) -> None:
    """Seen in the pixels: what selecting a track repaints of the picture that stands still."""
    anna.wait("() => new Set(thebox.picture().tracks.map((one) => one.fixed)).size === 2")
    page = anna.page
    page.keyboard.press("p")
    expect(page.get_by_text("Not live")).to_be_visible()
    page.get_by_role("button", name=re.compile("^tentative")).click()
    chosen = page.evaluate(
        """() => {
          const { tracks, own } = thebox.picture();
          const inView = (o) => {
            const [x, y] = thebox.pixelOf(o.id);
            return x > 60 && y > 60 && x < 900 && y < 740;
          };
          const away = ({ position: { x, y } }) => Math.hypot(x - own.east, y - own.north) > 150;
          const sharp = ({ bearing_std: s }) => s > 0.03 && s < 0.6;
          return {
            dot: tracks.find((o) => o.fixed && inView(o) && away(o.track))?.id,
            wedge: tracks.find((o) => !o.fixed && sharp(o.track))?.id,
          };
        }"""
    )
    assert chosen["dot"] and chosen["wedge"], f"the sky has not both: {chosen}"
    changed: dict[str, list[int]] = {}
    for kind, identity in chosen.items():
        anna.select_none()
        anna.wait("() => thebox.settled()")
        page.evaluate(GRAB)
        page.locator(f'[data-track-row="{identity}"]').click()
        expect(page.locator("[data-test=detail]")).to_be_visible()
        handle = page.wait_for_function(GRAB)
        changed[kind] = handle.json_value()
        facts = page.locator("[data-test=detail] .facts").inner_text()
        assert ("not observed" in facts) == (kind == "wedge"), facts
        anna.picture(kind)
    page.get_by_role("button", name=re.compile("^tentative")).click()

    def reach(around: list[int]) -> int:
        return max(around[2] - around[0], around[3] - around[1])

    own = page.evaluate(
        "() => thebox.plan.pixel(thebox.picture().own.east, thebox.picture().own.north)"
    )
    left, top, right, bottom = changed["wedge"]
    # The wedge reaches from beside the own-ship outwards.
    nearest = max(left - own[0], own[0] - right, top - own[1], own[1] - bottom, 0)
    assert nearest < 40
    assert reach(changed["wedge"]) > 80


def test_selection_is_in_step_with_the_picture(anna: Console) -> None:
    page = anna.page
    page.keyboard.press("p")
    identity = anna.wait(
        """() => {
          const { tracks } = thebox.picture();
          const at = (o) => thebox.pixelOf(o.id);
          const inView = ([x, y]) => x > 30 && y > 30 && x < 880 && y < 760;
          const alone = (o) => tracks.every((p) => p === o || !p.fixed ||
            Math.hypot(at(o)[0] - at(p)[0], at(o)[1] - at(p)[1]) > 30);
          const fit = (o) => o.fixed && o.state === 'confirmed' && inView(at(o)) && alone(o);
          return tracks.find(fit)?.id;
        }"""
    )
    x, y = page.evaluate("(id) => thebox.pixelOf(id)", identity)
    page.locator("[data-test=map]").click(position={"x": x, "y": y})
    row = page.locator(f'[data-track-row="{identity}"]')
    expect(row).to_have_attribute("aria-selected", "true")
    expect(page.locator("[data-test=detail]")).to_be_visible()
    page.keyboard.press("l")
    expect(page.get_by_label("Evidence ledger").locator("tr").first).to_be_visible()
    anna.picture("detail")
    row.click()
    expect(page.locator("[data-test=detail]")).to_have_count(0)


def test_the_picture_is_zoomed_moved_and_centred_again(anna: Console) -> None:
    page = anna.page
    zoomed = "(before) => Math.abs(thebox.plan.resolution / before - 1) > 0.3"
    plan = page.locator("[data-test=map]")
    box = plan.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    for act in (
        lambda: page.keyboard.press("-"),
        lambda: page.get_by_role("button", name="Zoom in").click(),
        lambda: (page.mouse.move(box["x"] + 300, box["y"] + 300), page.mouse.wheel(0, 300)),
        lambda: page.mouse.wheel(0, -300),
    ):
        before = page.evaluate("() => thebox.plan.resolution")
        act()
        anna.wait(zoomed, before)
        anna.wait("() => !thebox.plan.map.getView().getAnimating()")
    away = """() => {
      const [east, north] = thebox.plan.map.getView().getCenter();
      const { own } = thebox.picture();
      return Math.hypot(east - own.east, north - own.north) / thebox.plan.resolution;
    }"""
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 380, steps=4)
    page.mouse.up()
    anna.wait(f"() => ({away})() > 100")
    page.keyboard.press("o")
    anna.wait(f"() => ({away})() < 10")


def test_what_was_told_apart_from_a_drone_can_be_left_out(anna: Console) -> None:
    page = anna.page
    anna.wait("() => thebox.picture().tracks.some((o) => o.kind === 'other')")
    others = page.locator("tr[data-track-row].kind-other")
    expect(others.first).to_be_visible()
    toggle = page.get_by_role("button", name=re.compile("^others"))
    toggle.click()
    expect(others).to_have_count(0)
    expect(page.locator("tr[data-track-row].kind-sought").first).to_be_visible()
    toggle.click()
    expect(others.first).to_be_visible()


def test_time_is_paused_scrubbed_and_live_again(anna: Console) -> None:
    page = anna.page
    anna.wait("() => thebox.kept() > 4")
    page.keyboard.press("p")
    expect(page.get_by_text("Not live")).to_be_visible()
    stood = page.evaluate("() => thebox.picture().time")
    page.get_by_role("button", name="−10 s").click()
    anna.wait("(stood) => thebox.picture().time < stood - 2", stood)
    assert page.evaluate("() => thebox.picture().tracks.length") > 0
    anna.picture("past")
    page.get_by_role("button", name=re.compile("^Live$")).click()
    anna.wait("(stood) => thebox.picture().time > stood", stood)
    expect(page.get_by_text("Not live")).to_have_count(0)


def test_a_sensor_is_deactivated_activated_and_restarted(anna: Console) -> None:
    page = anna.page
    anna.open("Sensors")
    card = page.locator('[data-sensor="silvus"]')
    expect(card).to_have_attribute("data-state", "active")
    anna.picture("sensors")
    card.get_by_role("button", name="Deactivate").click()
    expect(card).to_have_attribute("data-state", "inactive")
    anna.picture("sensor-inactive")
    card.get_by_role("button", name="Activate").click()
    expect(card).to_have_attribute("data-state", "active")
    card.get_by_role("button", name="Restart").click()
    expect(page.locator(".notice").filter(has_text="silvus: restarted")).to_be_visible()
    expect(card).to_have_attribute("data-state", "active")


def test_settings_are_checked_refused_with_the_reason_set_and_saved(
    anna: Console, box: Any
) -> None:
    page = anna.page
    anna.open("Sensors")
    page.locator('[data-sensor="mara"]').get_by_role("button", name="Settings").click()
    setting = page.locator('[data-setting="coverage.range_max"]')
    setting.get_by_role("textbox").fill("-3")
    expect(setting.get_by_role("alert")).to_contain_text("outside")
    expect(page.get_by_role("button", name="Set", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Undo").click()
    # Nothing in the descriptor speaks against this one: the node itself does.
    source = page.locator('[data-setting="source"]').get_by_role("textbox")
    source.fill("carrier-pigeon://127.0.0.1")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("[data-test=refused]")).to_contain_text("carrier-pigeon")
    anna.picture("setting-refused")
    page.get_by_role("button", name="Undo").click()
    setting.get_by_role("textbox").fill("2345")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".setting.changed")).to_have_count(0)
    expect(setting.get_by_role("textbox")).to_have_value("2345")
    page.get_by_role("button", name="Save to the parameter file").click()
    expect(page.locator(".notice.ok").filter(has_text="saved")).to_be_visible()
    assert "2345" in box.settings_file.read_text()
    page.get_by_role("button", name="Back to the sensors").click()


def test_an_alert_is_acknowledged_once_for_all_windows(
    anna: Console, console: Callable[..., Console]
) -> None:
    other = console().log_in("anna")
    for window in (anna, other):
        window.open("Alerts")
        expect(window.page.locator(".event.waiting").first).to_be_visible()
    anna.picture("alerts")
    event = anna.page.locator(".event.waiting").first.get_attribute("data-event")
    line = f'[data-event="{event}"]'
    expect(other.page.locator(line)).to_have_attribute("data-acknowledged", "false")
    anna.page.locator(line).get_by_role("button", name="Acknowledge").click()
    for window in (anna, other):
        expect(window.page.locator(line)).to_have_attribute("data-acknowledged", "true")
        expect(window.page.locator(line)).to_contain_text("acknowledged by operator:anna")


def test_the_camera_slews_to_a_bearing_and_to_a_track(anna: Console) -> None:
    page = anna.page
    anna.open("Camera")
    page.locator("input[name=bearing]").fill("200")
    page.locator("input[name=elevation]").fill("2")
    page.get_by_role("button", name="Slew to bearing").click()
    anna.wait("() => Math.abs(thebox.picture().gimbal.bearing - 200 * Math.PI / 180) < 0.02")
    expect(page.locator(".notice").filter(has_text="settled")).to_be_visible()
    anna.open("Tracks")
    identity = anna.wait(
        "() => thebox.picture().tracks.find((o) => o.fixed && o.state === 'confirmed')?.id"
    )
    page.locator(f'[data-track-row="{identity}"]').click()
    page.get_by_role("button", name="Slew camera").click()
    anna.wait("() => thebox.picture().gimbal.steered_by === 'operator:anna'")
    anna.open("Camera")
    expect(page.locator("[data-test=steered-by]")).to_contain_text("operator:anna")
    anna.wait(
        """() => {
          const canvas = document.querySelector('[data-test=video]');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value, index) => index % 400 === 0 && value > 30);
        }"""
    )
    anna.picture("camera")
    # A step of a quarter of the view; then, by a click on the picture, another.
    page.get_by_role("button", name="Stop", exact=True).click()
    turned = """(from) => {
      const { bearing, horizontal_field_of_view: field } = thebox.picture().gimbal;
      const right = (bearing - from + 3 * Math.PI) % (2 * Math.PI) - Math.PI;
      return right > 0.15 * field && right < 0.6 * field;
    }"""
    # What was read before the stop, and a gimbal that runs out, are no place to start from.
    still = """() => {
      const { slewing, azimuth_rate: rate } = thebox.picture().gimbal;
      return !slewing && Math.abs(rate) < 0.005;
    }"""
    where = "() => thebox.picture().gimbal.bearing"
    expect(page.locator(".notice").filter(has_text="Camera stopped").last).to_be_visible()
    anna.wait(still)
    start = page.evaluate(where)
    page.get_by_role("button", name="Look right").click()
    anna.wait(turned, start)
    anna.wait(still)
    start = page.evaluate(where)
    video = page.locator("[data-test=video]")
    size = video.bounding_box()
    video.click(position={"x": size["width"] * 0.75, "y": size["height"] * 0.5})
    anna.wait(turned, start)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".notice").filter(has_text="Camera stopped").last).to_be_visible()


def test_the_camera_is_held_zoomed_and_given_back(anna: Console) -> None:
    page = anna.page
    anna.open("Camera")
    page.get_by_role("button", name="Take the camera").click()
    anna.wait("() => thebox.picture().gimbal.held_by === 'operator:anna'")
    expect(page.locator("[data-test=steered-by]")).to_contain_text("held by operator:anna")
    ratio = page.evaluate("() => thebox.picture().gimbal.zoom_ratio")
    page.get_by_role("button", name="Zoom −" if ratio > 5 else "Zoom +").click()
    anna.wait("(old) => Math.abs(thebox.picture().gimbal.zoom_ratio - old) > 0.3", ratio)
    page.get_by_role("button", name="Give the camera back").click()
    anna.wait("() => thebox.picture().gimbal.held_by === ''")


def test_a_zone_is_drawn_known_to_all_and_alerts(
    anna: Console, console: Callable[..., Console]
) -> None:
    page = anna.page
    page.evaluate(LISTEN)
    anna.open("Setup")
    page.get_by_role("checkbox", name="Alerts sound").check()
    anna.open("Zones")
    page.get_by_role("button", name="Draw a zone").click()
    plan = page.locator("[data-test=map]")
    # Wide enough for something to fly in soon, and around the own-ship.
    for x, y in ((120, 100), (860, 100), (860, 720)):
        plan.click(position={"x": x, "y": y})
    plan.dblclick(position={"x": 120, "y": 720})
    page.get_by_label("Name").fill("Basin")
    anna.picture("zone-form")
    page.get_by_role("button", name="Store zone").click()
    expect(page.locator('[data-zone="Basin"]')).to_be_visible()
    anna.picture("zones")
    viewer = console().log_in("vera")
    viewer.open("Zones")
    expect(viewer.page.locator('[data-zone="Basin"]')).to_be_visible()
    anna.open("Alerts")
    entry = page.locator(".event").filter(has_text="Basin").first
    expect(entry).to_contain_text("zone")
    anna.wait("() => window.tones >= 2")
    anna.open("Setup")
    page.get_by_role("checkbox", name="Alerts sound").uncheck()
    anna.open("Zones")
    page.locator('[data-zone="Basin"]').get_by_role("button", name="Remove").click()
    expect(viewer.page.locator('[data-zone="Basin"]')).to_have_count(0)


def test_a_viewer_sees_but_cannot_command(console: Callable[..., Console]) -> None:
    window = console().log_in("vera")
    page = window.page
    expect(page.locator("[data-test=role]")).to_have_text("viewer")
    window.open("Sensors")
    card = page.locator('[data-sensor="dspnor"]')
    expect(card.get_by_role("button", name="Deactivate")).to_be_disabled()
    window.open("Camera")
    expect(page.get_by_role("button", name="Slew to bearing")).to_be_disabled()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    # Past the panel's own buttons, the server refuses as well, and says why.
    answer = page.evaluate(
        """() => new Promise((done, failed) => {
          const socket = new WebSocket(`ws://${location.host}/bridge`);
          socket.onerror = () => failed(new Error('no bridge'));
          socket.onopen = () => socket.send(JSON.stringify({
            op: 'call_service', id: 'attack', service: '/thebox/dspnor/change_state',
            type: 'lifecycle_msgs/srv/ChangeState', args: { transition: { id: 4 } } }));
          socket.onmessage = ({ data }) => {
            const message = typeof data === 'string' ? JSON.parse(data) : {};
            if (message.op === 'service_response' && message.id === 'attack') done(message);
          };
        })"""
    )
    assert answer["result"] is False
    assert "viewer" in str(answer["values"])
    window.picture("viewer")


def test_the_panel_comes_back_after_the_bridge_was_killed(anna: Console, box: Any) -> None:
    import psutil

    page = anna.page
    found = [
        pid
        for pid in box.processes().values()
        if "rosbridge_websocket" in " ".join(psutil.Process(pid).cmdline()[:3])
    ]
    assert found, "the bridge runs as a process of the box"
    anna.open("Camera")
    anna.wait("() => thebox.imageTime() > 0")
    before = page.evaluate("() => thebox.picture().time")
    os.kill(found[0], signal.SIGKILL)
    expect(page.locator('[data-link="lost"], [data-link="connecting"]')).to_be_visible()
    anna.picture("connection-lost")
    expect(page.locator('[data-link="open"]')).to_be_visible()
    # Tracks and pictures come again, the latter from a publisher that the new bridge has to find.
    reopened = anna.wait(
        "(before) => thebox.picture().time > before + 1 && thebox.picture().time", before
    )
    anna.wait("(reopened) => thebox.imageTime() > reopened", reopened)


@pytest.mark.parametrize("view", ["Health", "Setup"])
def test_the_other_views_show(anna: Console, view: str) -> None:
    anna.open(view)
    if view == "Health":
        expect(anna.page.locator(".chart canvas").first).to_be_visible()
        expect(anna.page.locator(".nodes")).to_contain_text("fusion")
    anna.picture(view.lower())


def test_it_fits_a_small_screen_by_touch_in_light_colours_and_other_units(
    console: Callable[..., Console],
) -> None:
    window = console(viewport={"width": 1024, "height": 768}, has_touch=True).log_in("anna")
    page = window.page
    window.open("Setup")
    page.get_by_role("radio", name="light").tap()
    page.get_by_role("radio", name="knots").tap()
    page.get_by_role("radio", name="nautical miles").tap()
    window.open("Tracks")
    page.locator("[data-track-row]").first.tap()
    expect(page.locator("[data-test=detail] .facts")).to_contain_text("NM")
    # With all that the top bar may have to say at once.
    page.evaluate(
        """() => document.querySelector('.top .figures').insertAdjacentHTML(
          'beforeend', '<span>picture 59 min old, nothing new from the box</span>')"""
    )
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 1024
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.top > *, .time > *, .tabs > *')]
          .filter((e) => e.offsetParent && (e.getBoundingClientRect().right > innerWidth + 1))
          .map((e) => e.textContent)"""
    )
    assert cut == []
    page.evaluate("() => document.querySelector('.top .figures').lastChild.remove()")
    window.picture("small-light")
    page.get_by_role("button", name="North-up; change to head-up").tap()
    anna_turned = "() => Math.abs(thebox.plan.map.getView().getRotation()) > 0.1"
    window.wait(anna_turned)
    window.picture("head-up")


VIEWS = ("Tracks", "Camera", "Sensors", "Alerts", "Health", "Zones", "Setup")


def test_accessibility_rules_hold(browser: Any, box: Any) -> None:
    """The rules of axe-core (WCAG 2.1 A and AA) on every view, dark and light."""
    axe = DIST.parent / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm ci in src/thebox_webui/panel")
    # The script of the check is not the panel's own, which the policy rightly keeps out.
    window = Console(browser, box.url, bypass_csp=True).log_in("anna")
    window.page.add_script_tag(path=axe)
    wrong: list[str] = []
    for theme in ("dark", "light"):
        window.open("Setup")
        window.page.get_by_role("radio", name=theme).click()
        for view in VIEWS if theme == "dark" else ("Tracks", "Sensors", "Alerts"):
            window.open(view)
            result = window.page.evaluate(
                "(rules) => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })",
                # The colours are all that differs in light.
                ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
                if theme == "dark"
                else ["color-contrast"],
            )
            wrong += [
                f"{theme} {view}: {rule['id']}: {node['target']} {node['failureSummary']}"
                for rule in result["violations"]
                for node in rule["nodes"][:3]
            ]
    window.close()
    assert wrong == [], "\n".join(wrong)


def test_nothing_is_fetched_from_elsewhere(browser: Any, box: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(box.url)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((box.url, "data:", "blob:"))] == []
    with urllib.request.urlopen(box.url) as answer:  # noqa: S310 - this machine
        page_text = answer.read().decode()
    assert "<style" not in page_text
    assert "<script>" not in page_text
