// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { boxNow, isLive, pause, pausedAt, resume, SPAN, step, tick } from "../state/clock";
import { events } from "../state/events";
import { oldestTime } from "../state/picture";
import { preferences } from "../state/preferences";
import { clock } from "../core/format";
import { Icon } from "./icons";

/** The last ten minutes, with a mark for each alert; dragging it stops the picture at that time. */
export function TimeBar() {
  void tick.value;
  const now = boxNow();
  const at = pausedAt.value;
  const behind = at === undefined ? 0 : Math.min(now - at, SPAN);
  const { units } = preferences.value;
  const oldest = Math.min(Math.max(now - oldestTime(), 0), SPAN);
  const marks = Number.isFinite(now)
    ? events.value.filter((one) => one.severity !== "info" && one.time > now - SPAN && one.time <= now)
    : [];
  const scrub = (value: number): void => {
    if (value >= -0.5) resume();
    else pause(boxNow() + value);
  };
  return (
    <footer class={`time ${isLive.value ? "live" : "past"}`} aria-label="Time">
      <button
        type="button"
        class="plain"
        aria-label={isLive.value ? "Pause" : "Back to now"}
        title="Pause, or back to now (P)"
        onClick={() => (isLive.value ? pause() : resume())}
      >
        <Icon name={isLive.value ? "pause" : "play"} />
      </button>
      <button type="button" class="plain" title="Ten seconds back (←)" onClick={() => step(-10)}>
        −10 s
      </button>
      <button type="button" class="plain" title="Ten seconds ahead (→)" disabled={isLive.value} onClick={() => step(10)}>
        +10 s
      </button>
      <div class="rail">
        <div class="scale">
          <div class="kept" style={{ width: `${((oldest || 0) / SPAN) * 100}%` }} />
          {marks.map((one) => (
            <i
              key={one.id}
              class={`mark ${one.severity}`}
              title={`${clock(one.time, units)} ${one.text}`}
              style={{ left: `${(1 - (now - one.time) / SPAN) * 100}%` }}
            />
          ))}
        </div>
        <input
          type="range"
          aria-label="Time shown, seconds before now"
          aria-valuetext={isLive.value ? "now" : `${Math.round(behind)} seconds ago`}
          min={-SPAN}
          max={0}
          step={1}
          value={-behind}
          onInput={(e) => scrub(Number(e.currentTarget.value))}
        />
      </div>
      <span class="when">{at === undefined ? "now" : `−${Math.floor(behind / 60)}:${String(Math.floor(behind % 60)).padStart(2, "0")}`}</span>
      <button type="button" class={`live-button ${isLive.value ? "on" : ""}`} aria-pressed={isLive.value} title="Back to now (L)" onClick={() => resume()}>
        <i class="lamp" /> Live
      </button>
    </footer>
  );
}
