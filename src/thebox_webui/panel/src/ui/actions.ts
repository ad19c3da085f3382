// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Actions that several parts offer. */

import { slewToBearing, slewToPoint } from "../state/commands";
import { listed } from "../state/picture";
import { callsign } from "../core/track";

/** Slew to a track: to its place where that is known, else along its bearing. */
export function slewToTrack(id: string | undefined): void {
  const shown = id === undefined ? undefined : listed.value.byId.get(id);
  if (shown === undefined) return;
  const { track } = shown;
  if (shown.fixed && Number.isFinite(track.position.z)) slewToPoint(callsign(track), track.position);
  else slewToBearing(callsign(track), track.bearing, track.elevation);
}
