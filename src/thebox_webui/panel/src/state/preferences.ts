// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** What the operator chose, kept in this browser. */

import { effect, signal } from "@preact/signals";
import type { Units } from "../core/format";

export interface Layers {
  rings: boolean;
  coverage: boolean;
  detections: boolean;
  trails: boolean;
  velocity: boolean;
  labels: boolean;
  ellipses: boolean;
  tentative: boolean;
  /** What was told apart from a drone. */
  others: boolean;
  camera: boolean;
  zones: boolean;
}

export interface Preferences {
  theme: "dark" | "light";
  units: Units;
  layers: Layers;
  /** Sensors whose detections and coverage are hidden. */
  hiddenSensors: string[];
  headUp: boolean;
  trailSeconds: number;
  sound: boolean;
}

const KEY = "thebox.panel";

const DEFAULTS: Preferences = {
  theme: "dark",
  units: { speed: "m/s", length: "m", angle: "deg", time: "utc" },
  layers: {
    rings: true,
    coverage: true,
    detections: true,
    trails: true,
    velocity: true,
    labels: true,
    ellipses: true,
    tentative: true,
    others: true,
    camera: true,
    zones: true,
  },
  hiddenSensors: [],
  headUp: false,
  trailSeconds: 60,
  sound: false,
};

function load(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    return {
      ...DEFAULTS,
      ...kept,
      units: { ...DEFAULTS.units, ...kept.units },
      layers: { ...DEFAULTS.layers, ...kept.layers },
    };
  } catch {
    return DEFAULTS;
  }
}

export const preferences = signal<Preferences>(load());

export function prefer(change: Partial<Preferences>): void {
  preferences.value = { ...preferences.value, ...change };
}

export function toggleLayer(name: keyof Layers): void {
  const { layers } = preferences.value;
  prefer({ layers: { ...layers, [name]: !layers[name] } });
}

export function toggleSensor(name: string): void {
  const hidden = new Set(preferences.value.hiddenSensors);
  if (!hidden.delete(name)) hidden.add(name);
  prefer({ hiddenSensors: [...hidden] });
}

/** Keep what is chosen, and colour the page by it. */
export function keepPreferences(): void {
  effect(() => {
    document.documentElement.dataset.theme = preferences.value.theme;
    try {
      localStorage.setItem(KEY, JSON.stringify(preferences.value));
    } catch {
      // A browser that keeps nothing still shows everything.
    }
  });
}
