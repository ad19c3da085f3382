// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Which page of the side pane is open, and what lies over the picture. */

import { signal } from "@preact/signals";
import type { IconName } from "./icons";

export type Page = "tracks" | "camera" | "sensors" | "events" | "health" | "zones" | "setup";

export const PAGES: readonly { page: Page; label: string; key: string; icon: IconName }[] = [
  { page: "tracks", label: "Tracks", key: "1", icon: "tracks" },
  { page: "camera", label: "Camera", key: "2", icon: "camera" },
  { page: "sensors", label: "Sensors", key: "3", icon: "sensors" },
  { page: "events", label: "Alerts", key: "4", icon: "events" },
  { page: "health", label: "Health", key: "5", icon: "health" },
  { page: "zones", label: "Zones", key: "6", icon: "zones" },
  { page: "setup", label: "Setup", key: "7", icon: "setup" },
];

export const page = signal<Page>("tracks");
export const helpOpen = signal(false);
export const layersOpen = signal(false);
/** Whether the view stays on the own-ship. */
export const following = signal(true);
/** Whether a zone is being drawn. */
export const drawingZone = signal(false);
/** Corners of the zone just drawn, east and north metres; its form is open. */
export const drawnZone = signal<[number, number][] | undefined>(undefined);
