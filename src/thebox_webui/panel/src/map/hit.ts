// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** What lies under the pointer. */

import { seconds } from "../core/codec";
import { wrapAngle, bearingOf } from "../core/angles";
import { inWedge, wedge } from "../core/geometry";
import type { Shown } from "../core/track";
import { placeOf, toX, toY, type Projector, type Scene } from "./scene";

/** The nearest dot within `reach` pixels; else, of the wedges there, the one nearest in bearing. */
export function trackAt(p: Projector, scene: Scene, x: number, y: number, reach: number): Shown | undefined {
  let best: Shown | undefined;
  let nearest = reach;
  for (const shown of scene.tracks) {
    if (!shown.fixed) continue;
    const [east, north] = placeOf(shown, scene.time, seconds(shown.track.header.stamp));
    const distance = Math.hypot(toX(p, east, north) - x, toY(p, east, north) - y);
    // A tentative track yields to a confirmed one beside it.
    const weighed = distance + (shown.state === "tentative" ? reach / 3 : 0);
    if (distance <= reach && weighed <= nearest) {
      nearest = weighed;
      best = shown;
    }
  }
  if (best !== undefined) return best;
  const [east, north] = toPlace(p, x, y);
  const own: [number, number] = [scene.own?.east ?? 0, scene.own?.north ?? 0];
  const bearing = bearingOf(east - own[0], north - own[1]);
  let closest = Infinity;
  for (const shown of scene.tracks) {
    if (shown.fixed) continue;
    const { track } = shown;
    const shape = wedge(track.bearing, track.bearing_std, track.range, track.range_std);
    if (shape === undefined || !inWedge([east, north], own, shape)) continue;
    const off = Math.abs(wrapAngle(bearing - track.bearing));
    if (off < closest) {
      closest = off;
      best = shown;
    }
  }
  return best;
}

/** East and north of a pixel. */
export function toPlace(p: Projector, x: number, y: number): [number, number] {
  const det = p.a * p.d - p.b * p.c;
  const dx = x - p.tx;
  const dy = y - p.ty;
  return [(p.d * dx - p.c * dy) / det, (p.a * dy - p.b * dx) / det];
}
