// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Colours of the plan view. Those of the page are in style/. */

import { DetectionConstants as D } from "../generated/messages";
import type { Kind, State } from "../core/track";

export interface Palette {
  ground: string;
  ring: string;
  ringText: string;
  own: string;
  text: string;
  halo: string;
  faint: string;
  select: string;
  zone: string;
  zoneAlert: string;
  camera: string;
  /** Of what is sought, by state. */
  states: Record<State, string>;
  /** Of what was told apart from it: birds, boats, people. */
  other: string;
  modality: Record<number, string>;
  blind: string;
}

const DARK: Palette = {
  ground: "#0a0e13",
  ring: "rgba(148,170,196,0.20)",
  ringText: "rgba(160,180,204,0.75)",
  own: "#e8eef5",
  text: "#dfe7f0",
  halo: "rgba(8,12,17,0.85)",
  faint: "rgba(184,200,218,0.86)",
  select: "#ffffff",
  zone: "#7fb2e5",
  zoneAlert: "#ff8d5c",
  camera: "#e9d27a",
  states: { confirmed: "#ff7a5c", coasting: "#cf9bef", tentative: "#c9b15a", unknown: "#9aa7b5" },
  other: "#a3b6c7",
  modality: {
    [D.MODALITY_UNKNOWN]: "#9aa7b5",
    [D.MODALITY_RF]: "#56b4f5",
    [D.MODALITY_RADAR]: "#5fd39b",
    [D.MODALITY_EO]: "#e9d27a",
    [D.MODALITY_IR]: "#f59f66",
    [D.MODALITY_ACOUSTIC]: "#b3a1ff",
  },
  blind: "#7c8794",
};

const LIGHT: Palette = {
  ground: "#eef1f4",
  ring: "rgba(40,60,84,0.20)",
  ringText: "rgba(40,60,84,0.80)",
  own: "#17212c",
  text: "#17212c",
  halo: "rgba(246,248,250,0.88)",
  faint: "rgba(40,60,84,0.85)",
  select: "#000000",
  zone: "#1d63a8",
  zoneAlert: "#b8430f",
  camera: "#8a6a00",
  states: { confirmed: "#c8321a", coasting: "#8440b0", tentative: "#806400", unknown: "#5c6875" },
  other: "#4b6074",
  modality: {
    [D.MODALITY_UNKNOWN]: "#5c6875",
    [D.MODALITY_RF]: "#0b6bb8",
    [D.MODALITY_RADAR]: "#0b7a45",
    [D.MODALITY_EO]: "#8a6a00",
    [D.MODALITY_IR]: "#b04a0a",
    [D.MODALITY_ACOUSTIC]: "#5b3fc4",
  },
  blind: "#77828e",
};

export const palette = (theme: "dark" | "light"): Palette => (theme === "dark" ? DARK : LIGHT);

/** The colour that a track is drawn in. */
export const trackColour = (colours: Palette, state: State, kind: Kind): string => (kind === "other" ? colours.other : colours.states[state]);

export const modalityName: Record<number, string> = {
  [D.MODALITY_UNKNOWN]: "unknown",
  [D.MODALITY_RF]: "RF",
  [D.MODALITY_RADAR]: "radar",
  [D.MODALITY_EO]: "EO",
  [D.MODALITY_IR]: "IR",
  [D.MODALITY_ACOUSTIC]: "acoustic",
};
