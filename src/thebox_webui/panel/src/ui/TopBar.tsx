// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { bridge, session } from "../state/box";
import { logout } from "../bridge/session";
import { boxNow, isLive, shownTime, tick } from "../state/clock";
import { openAlerts } from "../state/events";
import { health } from "../state/health";
import { listed } from "../state/picture";
import { prefer, preferences } from "../state/preferences";
import { age, bearing, clock, speed } from "../core/format";
import { Icon } from "./icons";
import { helpOpen, page } from "./navigation";

const LINK = {
  open: ["ok", "Connected"],
  connecting: ["warn", "Connecting"],
  lost: ["error", "Connection lost"],
  silent: ["warn", "No word from the box"],
} as const;

function LinkState() {
  const [level, words] = LINK[bridge.link.value];
  return (
    <div class={`chip ${level}`} role="status" aria-live="polite" data-link={bridge.link.value}>
      <i class="lamp" />
      {words}
      {bridge.link.value === "lost" ? (
        <button type="button" class="plain link" onClick={() => bridge.retry()}>
          Try now
        </button>
      ) : null}
    </div>
  );
}

function HealthState() {
  const bad = health.value.filter((node) => node.level !== "ok");
  const worst = bad.some((n) => n.level === "error") ? "error" : bad.length > 0 ? "warn" : "ok";
  if (health.value.length === 0) return null;
  const words = bad.length === 0 ? `${health.value.length} nodes healthy` : `${bad.length} of ${health.value.length} nodes need a look`;
  return (
    <button
      type="button"
      class={`chip ${worst}`}
      title={bad.map((n) => `${n.name}: ${n.message}`).join("\n")}
      onClick={() => {
        page.value = "health";
      }}
    >
      <i class="lamp" />
      {words}
    </button>
  );
}

export function TopBar() {
  void tick.value;
  const { units, theme, sound } = preferences.value;
  const { own, tracks, time } = listed.value;
  const confirmed = tracks.filter((one) => one.state === "confirmed").length;
  const alerts = openAlerts.value.length;
  const stale = isLive.value && Number.isFinite(time) ? boxNow() - time : NaN;
  return (
    <header class="top">
      <div class="brand">
        <img src="./icon.svg" alt="" width="24" height="24" />
        <strong>TheBox</strong>
      </div>
      <LinkState />
      <HealthState />
      <div class="figures">
        <span>
          <b data-test="confirmed">{confirmed}</b> confirmed
        </span>
        <span class="dim">
          <b>{tracks.length}</b> tracks
        </span>
        {stale > 2 ? <span class="warn-text">picture {age(stale)} old</span> : null}
      </div>
      <div class="figures own" title="Own-ship">
        <span class="dim">HDG</span> <b>{bearing(own?.heading ?? NaN, units)}</b>
        <span class="dim">SOG</span> <b>{speed(own?.speed ?? NaN, units)}</b>
      </div>
      <div class="spring" />
      {alerts > 0 ? (
        <button
          type="button"
          class="chip alert"
          onClick={() => {
            page.value = "events";
          }}
        >
          <Icon name="events" />
          {alerts} {alerts === 1 ? "alert" : "alerts"}
        </button>
      ) : null}
      <time class={`clock ${isLive.value ? "" : "past"}`}>{clock(shownTime(), units)}</time>
      <button
        type="button"
        class="plain"
        aria-label={sound ? "Sound is on; mute" : "Sound is off; let alerts sound"}
        title={sound ? "Alerts sound (M)" : "Alerts are silent (M)"}
        aria-pressed={sound}
        onClick={() => prefer({ sound: !sound })}
      >
        <Icon name={sound ? "sound" : "mute"} />
      </button>
      <button
        type="button"
        class="plain"
        aria-label={theme === "dark" ? "Light colours" : "Dark colours"}
        title="Dark or light (D)"
        onClick={() => prefer({ theme: theme === "dark" ? "light" : "dark" })}
      >
        <Icon name={theme === "dark" ? "sun" : "moon"} />
      </button>
      <button
        type="button"
        class="plain"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts (?)"
        onClick={() => {
          helpOpen.value = true;
        }}
      >
        <Icon name="help" />
      </button>
      <User />
    </header>
  );
}

function User() {
  const who = session.value;
  if (!who) return null;
  const leave = async (): Promise<void> => {
    await logout();
    bridge.close();
    session.value = null;
  };
  return (
    <div class="user">
      <span class={`role ${who.role}`} data-test="role">
        {who.role}
      </span>
      {who.login_required ? (
        <button type="button" class="plain link" onClick={() => void leave()}>
          Log out<span class="who">&nbsp;{who.user}</span>
        </button>
      ) : null}
    </div>
  );
}
