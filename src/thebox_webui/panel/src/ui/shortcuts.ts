// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Keys. They do nothing while a text is being typed. */

import { isLive, pause, resume, step } from "../state/clock";
import { acknowledge, openAlerts } from "../state/events";
import { listed, selected } from "../state/picture";
import { prefer, preferences, toggleLayer } from "../state/preferences";
import { slewToTrack } from "./actions";
import { drawingZone, drawnZone, following, helpOpen, layersOpen, page, PAGES } from "./navigation";
import { mapCommands } from "./PlanView";

export const KEYS: readonly [keys: string, what: string][] = [
  ["1 … 7", "Tracks, camera, sensors, alerts, health, zones, setup"],
  ["J / K", "Select the next or the track before"],
  ["Esc", "Close what is open; select nothing"],
  ["C", "Slew the camera to the selected track"],
  ["P, Space", "Pause, and back to now"],
  ["← / →", "Ten seconds back or ahead; with Shift one second"],
  ["L", "Back to now"],
  ["A", "Acknowledge all open alerts"],
  ["N", "North-up or head-up"],
  ["O", "Centre on the own-ship"],
  ["+ / -", "Zoom the picture"],
  ["T / R / V", "Trails, raw detections, coverage on or off"],
  ["D", "Dark or light"],
  ["M", "Sound of alerts on or off"],
  ["?", "This list"],
];

function selectBeside(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-track-row]")].map((row) => row.dataset.trackRow ?? "");
  const ids = rows.length > 0 ? rows : listed.value.tracks.map((one) => one.id);
  if (ids.length === 0) return;
  const at = ids.indexOf(selected.value ?? "");
  selected.value = at < 0 ? ids[0] : ids[(at + by + ids.length) % ids.length];
}

function escape(): void {
  if (helpOpen.value) helpOpen.value = false;
  else if (drawingZone.value) drawingZone.value = false;
  else if (drawnZone.value) drawnZone.value = undefined;
  else if (layersOpen.value) layersOpen.value = false;
  else selected.value = undefined;
}

const ACTIONS: Record<string, (event: KeyboardEvent) => void> = {
  j: () => selectBeside(1),
  k: () => selectBeside(-1),
  c: () => slewToTrack(selected.value),
  " ": () => (isLive.value ? pause() : resume()),
  arrowleft: (event) => step(event.shiftKey ? -1 : -10),
  arrowright: (event) => step(event.shiftKey ? 1 : 10),
  p: () => (isLive.value ? pause() : resume()),
  l: () => resume(),
  a: () => void acknowledge(openAlerts.value.map((one) => one.id)),
  n: () => prefer({ headUp: !preferences.value.headUp }),
  o: () => {
    following.value = true;
  },
  "+": () => mapCommands.zoom(1.5),
  "=": () => mapCommands.zoom(1.5),
  "-": () => mapCommands.zoom(1 / 1.5),
  t: () => toggleLayer("trails"),
  r: () => toggleLayer("detections"),
  v: () => toggleLayer("coverage"),
  d: () => prefer({ theme: preferences.value.theme === "dark" ? "light" : "dark" }),
  m: () => prefer({ sound: !preferences.value.sound }),
  "?": () => {
    helpOpen.value = !helpOpen.value;
  },
  escape,
};

/** Listen for keys. @returns how to stop. */
export function shortcuts(): () => void {
  const pressed = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target as HTMLElement;
    const typing = /^(input|textarea|select)$/i.test(target.tagName) && (target as HTMLInputElement).type !== "checkbox";
    if (typing && event.key !== "Escape") return;
    const key = event.key.toLowerCase();
    // A button that has the focus keeps its own keys.
    if (key === " " && /^(button|a|summary)$/i.test(target.tagName)) return;
    const tab = PAGES.find((one) => one.key === key);
    if (tab !== undefined) page.value = tab.page;
    else if (key in ACTIONS) ACTIONS[key]?.(event);
    else return;
    event.preventDefault();
  };
  window.addEventListener("keydown", pressed);
  return () => window.removeEventListener("keydown", pressed);
}
