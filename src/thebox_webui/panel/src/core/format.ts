// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Numbers and times as the operator chose to read them. Unknown is an en dash, never a zero. */

import { degrees, wrapBearing } from "./angles";

export type SpeedUnit = "m/s" | "kn" | "km/h";
export type LengthUnit = "m" | "ft" | "NM";
export type AngleUnit = "deg" | "mil";
export type TimeZone = "utc" | "local";

export interface Units {
  speed: SpeedUnit;
  length: LengthUnit;
  angle: AngleUnit;
  time: TimeZone;
}

export const UNKNOWN = "–";

const MILS = 6400;

/** Bearing, three digits and unit. */
export function bearing(value: number, units: Units): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (units.angle === "mil") {
    return `${String(Math.round((wrapBearing(value) / (2 * Math.PI)) * MILS) % MILS).padStart(4, "0")} mil`;
  }
  return `${String(Math.round(degrees(wrapBearing(value))) % 360).padStart(3, "0")}°`;
}

/** A small angle, such as a sigma or an elevation. */
export function angle(value: number, units: Units, digits = 1): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (units.angle === "mil") return `${((value / (2 * Math.PI)) * MILS).toFixed(0)} mil`;
  return `${degrees(value).toFixed(digits)}°`;
}

/** Radians of one unit of an angle that is typed in, and what to call the unit. */
export function angleEntry(units: Units): { unit: string; radians: number; turn: number } {
  return units.angle === "mil" ? { unit: "mil", radians: (2 * Math.PI) / MILS, turn: MILS } : { unit: "°", radians: Math.PI / 180, turn: 360 };
}

/** Metres of one unit of a height that is typed in, and what to call the unit. */
export function heightEntry(units: Units): { unit: string; metres: number } {
  return units.length === "ft" ? { unit: "ft", metres: 0.3048 } : { unit: "m", metres: 1 };
}

/** Three figures, with a unit that suits the size. */
export function length(value: number, units: Units): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (units.length === "NM") {
    const miles = value / 1852;
    // Not "-0.00".
    return `${(Math.abs(miles) < 0.005 ? 0 : miles).toFixed(Math.abs(miles) < 10 ? 2 : 1)} NM`;
  }
  if (units.length === "ft") {
    const feet = value / 0.3048;
    return Math.abs(feet) < 9995 ? `${feet.toFixed(0)} ft` : `${(feet / 1000).toFixed(1)} kft`;
  }
  if (size < 999.5) return `${value.toFixed(size < 9.95 ? 1 : 0)} m`;
  return `${(value / 1000).toFixed(size < 9995 ? 2 : 1)} km`;
}

const SPEED: Record<SpeedUnit, number> = { "m/s": 1, kn: 1.943844, "km/h": 3.6 };

export function speed(value: number, units: Units): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const told = value * SPEED[units.speed];
  return `${told.toFixed(Math.abs(told) < 9.95 ? 1 : 0)} ${units.speed}`;
}

export function percent(value: number): string {
  // 99.6 % is not certainty.
  return Number.isFinite(value) ? `${Math.floor(value * 100 + 1e-9)} %` : UNKNOWN;
}

/** How long ago, two figures. */
export function age(value: number): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const past = Math.max(value, 0);
  if (past < 9.95) return `${past.toFixed(1)} s`;
  if (past < 100) return `${past.toFixed(0)} s`;
  if (past < 5400) return `${(past / 60).toFixed(0)} min`;
  return past < 129600 ? `${(past / 3600).toFixed(0)} h` : `${(past / 86400).toFixed(0)} d`;
}

/** A duration of processing, such as a latency. */
export function duration(value: number): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (value < 0.0995) return `${(value * 1000).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  return value < 9.95 ? `${value.toFixed(2)} s` : age(value);
}

export function frequency(value: number): string {
  if (!Number.isFinite(value) || value <= 0) return UNKNOWN;
  return value >= 1e9 ? `${(value / 1e9).toFixed(3)} GHz` : `${(value / 1e6).toFixed(1)} MHz`;
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const steps = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  let left = value;
  while (left >= 1000 && step < steps.length - 1) {
    left /= 1000;
    step++;
  }
  return `${left.toFixed(left < 10 && step > 0 ? 1 : 0)} ${steps[step] ?? ""}`;
}

const two = (n: number): string => String(n).padStart(2, "0");

/** Time of day of a stamp in seconds; Z marks UTC. */
export function clock(stamp: number, units: Units, withDate = false): string {
  if (!Number.isFinite(stamp) || stamp <= 0) return UNKNOWN;
  const date = new Date(stamp * 1000);
  const utc = units.time === "utc";
  const part = (name: "Hours" | "Minutes" | "Seconds" | "Date" | "FullYear" | "Month"): number =>
    utc ? date[`getUTC${name}`]() : date[`get${name}`]();
  const time = `${two(part("Hours"))}:${two(part("Minutes"))}:${two(part("Seconds"))}${utc ? "Z" : ""}`;
  return withDate ? `${part("FullYear")}-${two(part("Month") + 1)}-${two(part("Date"))} ${time}` : time;
}
