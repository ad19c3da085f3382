// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { clock } from "../core/format";
import { mayCommand } from "../state/box";
import { pause } from "../state/clock";
import { acknowledge, events, openAlerts, type Entry } from "../state/events";
import { listed, selected } from "../state/picture";
import { prefer, preferences } from "../state/preferences";
import { page } from "./navigation";

const severity = signal<"all" | "warning" | "alert">("all");
const MOST = 300;

function Line({ one }: { one: Entry }) {
  const { units } = preferences.value;
  const waiting = one.severity === "alert" && !one.acknowledged;
  const known = one.track !== "" && listed.value.byId.has(one.track);
  return (
    <li class={`event ${one.severity} ${waiting ? "waiting" : ""}`} data-event={one.id} data-acknowledged={one.acknowledged}>
      <button type="button" class="plain link mono" title="Show the picture of that time" onClick={() => pause(one.time)}>
        {clock(one.time, units)}
      </button>
      <div>
        <p>{one.text}</p>
        <p class="dim">
          {one.kind.replaceAll("_", " ")} · {one.source}
          {one.acknowledged ? ` · acknowledged by ${one.by || "somebody"}` : ""}
          {known ? (
            <>
              {" · "}
              <button
                type="button"
                class="plain link show"
                onClick={() => {
                  selected.value = one.track;
                  page.value = "tracks";
                }}
              >
                show track
              </button>
            </>
          ) : null}
        </p>
      </div>
      {waiting ? (
        <button type="button" class="ack" disabled={!mayCommand()} onClick={() => void acknowledge([one.id])}>
          Acknowledge
        </button>
      ) : null}
    </li>
  );
}

export function EventsPage() {
  const least = severity.value;
  const shown = events.value.filter((one) => least === "all" || one.severity === "alert" || (least === "warning" && one.severity === "warning"));
  const waiting = openAlerts.value;
  const { sound } = preferences.value;
  return (
    <div class="events">
      <div class="filters">
        <div class="chips" role="group" aria-label="Least severity">
          {(["all", "warning", "alert"] as const).map((one) => (
            <button
              key={one}
              type="button"
              class="toggle"
              aria-pressed={least === one}
              onClick={() => {
                severity.value = one;
              }}
            >
              {one === "all" ? "All" : one === "warning" ? "Warnings and alerts" : "Alerts"}
            </button>
          ))}
          <label class="check">
            <input type="checkbox" checked={sound} onChange={() => prefer({ sound: !sound })} />
            Sound
          </label>
        </div>
        <button type="button" class="primary" disabled={waiting.length === 0 || !mayCommand()} onClick={() => void acknowledge(waiting.map((one) => one.id))}>
          Acknowledge all ({waiting.length})
        </button>
      </div>
      <ol class="scroll" aria-label="Events" aria-live="polite">
        {waiting
          .filter((one) => shown.includes(one))
          .map((one) => (
            <Line key={one.id} one={one} />
          ))}
        {shown
          .filter((one) => !waiting.includes(one))
          .slice(0, MOST)
          .map((one) => (
            <Line key={one.id} one={one} />
          ))}
      </ol>
      {shown.length === 0 ? <p class="empty">Nothing has happened yet.</p> : null}
    </div>
  );
}
