// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Tracks as the panel shows them: words, order, filters. */

import { TrackConstants as C, VisualVerificationConstants as V, type Track } from "../generated/messages";
import { seconds, uuidText } from "./codec";

export type State = "unknown" | "tentative" | "confirmed" | "coasting";

/** What the box is there for (a drone, or nobody knows what yet), or something else that was told apart. */
export type Kind = "sought" | "other";

/** A track with its identity as text and its times as seconds. */
export interface Shown {
  id: string;
  track: Track;
  state: State;
  kind: Kind;
  /** Whether its place may be drawn as a dot. */
  fixed: boolean;
  speed: number;
  course: number;
  firstSeen: number;
  lastUpdated: number;
}

const STATES: Record<number, State> = {
  [C.STATE_TENTATIVE]: "tentative",
  [C.STATE_CONFIRMED]: "confirmed",
  [C.STATE_COASTING]: "coasting",
};
const CLASSES: Record<number, string> = {
  [C.CLASS_DRONE]: "drone",
  [C.CLASS_BIRD]: "bird",
  [C.CLASS_AIRPLANE]: "airplane",
  [C.CLASS_HELICOPTER]: "helicopter",
  [C.CLASS_BOAT]: "boat",
  [C.CLASS_VEHICLE]: "vehicle",
  [C.CLASS_PERSON]: "person",
  [C.CLASS_OTHER]: "other",
};
const METHODS: Record<number, string> = {
  [C.RANGE_MEASURED]: "measured",
  [C.RANGE_TRIANGULATED]: "triangulated",
  [C.RANGE_RSSI]: "signal strength",
  [C.RANGE_APPARENT_SIZE]: "apparent size",
  [C.RANGE_ACOUSTIC]: "sound level",
  [C.RANGE_COMBINED]: "combined",
};
const VERDICTS: Record<number, string> = {
  [V.VERDICT_NOT_LOOKED]: "not looked yet",
  [V.VERDICT_CONFIRMED]: "confirmed",
  [V.VERDICT_REFUTED]: "refuted",
  [V.VERDICT_INCONCLUSIVE]: "inconclusive",
};

export const className = (value: number): string => CLASSES[value] ?? "unknown";
export const rangeMethod = (value: number): string => METHODS[value] ?? "unknown";
export const verdict = (value: number): string => VERDICTS[value] ?? "unknown";

/** Only what is said to be something else counts as such: what nobody classified stays sought. */
function kindOf(track: Track): Kind {
  return track.object_class === C.CLASS_UNKNOWN || track.object_class === C.CLASS_DRONE ? "sought" : "other";
}

export function show(track: Track): Shown {
  const level = Math.hypot(track.velocity.x, track.velocity.y);
  return {
    id: uuidText(track.id.uuid),
    track,
    state: STATES[track.state] ?? "unknown",
    kind: kindOf(track),
    fixed:
      track.range_observed && Number.isFinite(track.position.x) && Number.isFinite(track.position.y),
    speed: level,
    course: Math.atan2(track.velocity.x, track.velocity.y),
    firstSeen: seconds(track.first_seen),
    lastUpdated: seconds(track.last_updated),
  };
}

/** What people call it: its number once it has one. */
export const callsign = (track: Track): string => (track.number > 0 ? `T${track.number}` : "new");

/** Label, or class when nobody named it. */
export function identity(track: Track): string {
  if (track.label !== "") return track.label;
  return track.object_class === C.CLASS_UNKNOWN ? "unidentified" : className(track.object_class);
}

export type SortKey = "number" | "state" | "class" | "sensors" | "confidence" | "bearing" | "range" | "speed" | "age";

const STATE_ORDER: Record<State, number> = { confirmed: 0, coasting: 1, tentative: 2, unknown: 3 };

const keys: Record<SortKey, (s: Shown) => number | string> = {
  number: (s) => s.track.number || Infinity,
  state: (s) => STATE_ORDER[s.state],
  class: (s) => identity(s.track).toLowerCase(),
  sensors: (s) => s.track.sensors.join(" "),
  confidence: (s) => s.track.confidence,
  bearing: (s) => s.track.bearing,
  range: (s) => (s.track.range_observed ? s.track.range : Infinity),
  speed: (s) => (s.fixed ? s.speed : NaN),
  age: (s) => -s.lastUpdated,
};

/** Sorted copy; unknown values last whichever way; equal ones by identity, so that rows stand still. */
export function sortTracks(tracks: readonly Shown[], key: SortKey, descending: boolean): Shown[] {
  const of = keys[key];
  const unknown = (v: number | string): boolean => typeof v === "number" && !Number.isFinite(v);
  return [...tracks].sort((a, b) => {
    const x = of(a);
    const y = of(b);
    if (unknown(x) !== unknown(y)) return unknown(x) ? 1 : -1;
    const order = x < y ? -1 : x > y ? 1 : 0;
    return (descending ? -order : order) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  });
}

export interface Filter {
  text: string;
  states: ReadonlySet<State>;
  kinds: ReadonlySet<Kind>;
  sensors: ReadonlySet<string>;
  confidence: number;
}

/** Whether a track passes: every word of the text somewhere in it, its state, kind, sensors, confidence. */
export function passes(shown: Shown, filter: Filter): boolean {
  const { track } = shown;
  if (!filter.states.has(shown.state) || !filter.kinds.has(shown.kind)) return false;
  if (track.confidence < filter.confidence) return false;
  if (filter.sensors.size > 0 && !track.sensors.some((name) => filter.sensors.has(name))) return false;
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [
    callsign(track),
    identity(track),
    className(track.object_class),
    shown.state,
    shown.id,
    ...track.sensors,
    ...track.sensor_track_ids,
  ]
    .join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}
