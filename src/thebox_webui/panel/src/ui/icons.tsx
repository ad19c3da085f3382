// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The few icons there are: 20 × 20, drawn with the text's colour. */

const PATHS = {
  tracks: "M10 3v3M10 14v3M3 10h3M14 10h3M10 8l2 2-2 2-2-2z",
  camera: "M3 6h10v8H3zM13 9l4-2v6l-4-2",
  sensors: "M10 11v6M6.5 7.5a5 5 0 0 1 7 0M4 5a8.5 8.5 0 0 1 12 0M10 10.5v.5",
  events: "M10 3a4 4 0 0 0-4 4c0 4-2 5-2 6h12c0-1-2-2-2-6a4 4 0 0 0-4-4zM8.5 16a1.6 1.6 0 0 0 3 0",
  health: "M2 10h4l2-5 4 10 2-5h4",
  zones: "M4 6l7-3 5 5-3 8-8 1z",
  setup: "M4 6h12M4 10h12M4 14h12M7 4.5v3M13 8.5v3M8 12.5v3",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  centre: "M10 2v4M10 14v4M2 10h4M14 10h4M10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  north: "M10 3l4 13-4-3-4 3z",
  layers: "M10 3l7 4-7 4-7-4zM3 11l7 4 7-4",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  close: "M5 5l10 10M15 5L5 15",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6L16 16M4 16l1.4-1.4M14.6 5.4L16 4",
  moon: "M16 12.5A7 7 0 0 1 7.5 4a6.5 6.5 0 1 0 8.5 8.5z",
  sound: "M3 8v4h3l4 3V5L6 8zM13 7.5a3.5 3.5 0 0 1 0 5M15 5.5a6.5 6.5 0 0 1 0 9",
  mute: "M3 8v4h3l4 3V5L6 8zM13 8l4 4M17 8l-4 4",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.6 2.2c-.8.5-1.1.9-1.1 2M10 14.5v.3",
  up: "M5 12l5-5 5 5",
  down: "M5 8l5 5 5-5",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  back: "M12 4l-6 6 6 6",
  check: "M4 10.5l4 4 8-9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
