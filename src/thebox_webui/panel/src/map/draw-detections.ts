// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Raw detections: a tick at a place, a fading ray for a bearing. */

import type { Detection } from "../generated/messages";
import { seconds } from "../core/codec";
import { place } from "../core/angles";
import { toX, toY, type Context, type Projector, type Scene } from "./scene";

/** How long a detection stays on the picture, seconds. */
export const DETECTION_AGE = 5;
const RAY = 3000;

function stand(detection: Detection, scene: Scene): [number, number] {
  const { x, y } = detection.sensor_position;
  return Number.isFinite(x) && Number.isFinite(y) ? [x, y] : [scene.own?.east ?? 0, scene.own?.north ?? 0];
}

/** Where it was measured, when it says so; else undefined. */
export function placeOfDetection(detection: Detection, scene: Scene): [number, number] | undefined {
  const { x, y } = detection.position;
  if (Number.isFinite(x) && Number.isFinite(y)) return [x, y];
  if (!Number.isFinite(detection.range) || !Number.isFinite(detection.bearing)) return undefined;
  const level = Number.isFinite(detection.elevation) ? Math.cos(detection.elevation) : 1;
  return place(stand(detection, scene), detection.bearing, detection.range * level);
}

export function drawDetections(ctx: Context, p: Projector, scene: Scene): void {
  for (const detection of scene.detections) {
    const past = scene.time - seconds(detection.received);
    const fade = Math.max(0, 1 - past / DETECTION_AGE);
    if (fade <= 0) continue;
    ctx.strokeStyle = scene.colours.modality[detection.modality] ?? scene.colours.faint;
    const at = placeOfDetection(detection, scene);
    if (at !== undefined) {
      ctx.globalAlpha = 0.9 * fade;
      ctx.lineWidth = 1.5;
      const x = toX(p, at[0], at[1]);
      const y = toY(p, at[0], at[1]);
      ctx.beginPath();
      ctx.moveTo(x - 3, y - 3);
      ctx.lineTo(x + 3, y + 3);
      ctx.moveTo(x + 3, y - 3);
      ctx.lineTo(x - 3, y + 3);
      ctx.stroke();
      continue;
    }
    ctx.globalAlpha = 0.2 * fade;
    ctx.lineWidth = 1;
    const from = stand(detection, scene);
    const rays: [number, number[]][] = [
      [detection.bearing, []],
      [detection.bearing_alternative, [4, 5]],
    ];
    for (const [bearing, dash] of rays) {
      if (!Number.isFinite(bearing)) continue;
      const near = place(from, bearing, 24 / p.scale);
      const far = place(from, bearing, RAY);
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(toX(p, near[0], near[1]), toY(p, near[0], near[1]));
      ctx.lineTo(toX(p, far[0], far[1]), toY(p, far[0], far[1]));
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }
  ctx.globalAlpha = 1;
}
