// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** What a frame of the plan view is drawn from, and how places become pixels. */

import type { Detection, GimbalState, SensorCoverage, Zone } from "../generated/messages";
import type { Units } from "../core/format";
import type { Shown } from "../core/track";
import type { Layers } from "../state/preferences";
import type { OwnShip } from "../state/picture";
import type { Palette } from "./palette";

export interface Watched {
  coverage: SensorCoverage;
  sight: "seeing" | "quiet" | "blind";
}

export interface Scene {
  time: number;
  live: boolean;
  tracks: readonly Shown[];
  own: OwnShip | undefined;
  gimbal: GimbalState | undefined;
  detections: readonly Detection[];
  watched: readonly Watched[];
  zones: readonly Zone[];
  selected: string | undefined;
  layers: Layers;
  trailSeconds: number;
  units: Units;
  colours: Palette;
}

/** East and north metres to CSS pixels: x = a·e + c·n + tx, y = b·e + d·n + ty. */
export interface Projector {
  a: number;
  b: number;
  c: number;
  d: number;
  tx: number;
  ty: number;
  /** Pixels a metre. */
  scale: number;
  /** Angle on the screen of true north, clockwise from up. */
  north: number;
  width: number;
  height: number;
}

export const toX = (p: Projector, east: number, north: number): number => p.a * east + p.c * north + p.tx;
export const toY = (p: Projector, east: number, north: number): number => p.b * east + p.d * north + p.ty;

/** Canvas angle (clockwise from the screen's right) of a true bearing. */
export const canvasAngle = (p: Projector, bearing: number): number => bearing + p.north - Math.PI / 2;

/** Places are extrapolated between pictures, but by no more than this: then the track stands. */
export const COAST_MOST = 0.5;

/** Where a track is at the scene's time. */
export function placeOf(shown: Shown, time: number, stamp: number): [number, number] {
  const { position, velocity } = shown.track;
  const ahead = Math.min(Math.max(time - stamp, 0), COAST_MOST);
  const east = velocity.x * ahead;
  const north = velocity.y * ahead;
  return [position.x + (Number.isFinite(east) ? east : 0), position.y + (Number.isFinite(north) ? north : 0)];
}

export type Context = CanvasRenderingContext2D;

/** Text with a halo, so that it reads over anything. */
export function haloText(ctx: Context, text: string, x: number, y: number, colour: string, halo: string): void {
  ctx.lineWidth = 3;
  ctx.lineJoin = "round";
  ctx.strokeStyle = halo;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}
