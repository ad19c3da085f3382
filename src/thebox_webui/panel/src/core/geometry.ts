// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Shapes of the plan view, in east and north metres. No drawing here. */

import { place, TAU, wrapBearing } from "./angles";

export type Place = readonly [east: number, north: number];

/** Half axes (metres) and direction of the longer one (bearing) of an error ellipse. */
export interface Ellipse {
  major: number;
  minor: number;
  bearing: number;
}

/** What is drawn of a bearing whose range is unknown or wide. */
export interface Wedge {
  from: number;
  to: number;
  near: number;
  far: number;
}

/**
 * Error ellipse of the east and north part of a covariance.
 *
 * @param covariance row-major, of `size` columns; the first two are east and north.
 * @param sigmas how many standard deviations the half axes stand for.
 * @returns undefined when the covariance is no such thing (NaN, negative).
 */
export function ellipse(
  covariance: ArrayLike<number>,
  sigmas = 2,
  size = 6,
): Ellipse | undefined {
  const ee = covariance[0] ?? NaN;
  const en = covariance[1] ?? NaN;
  const nn = covariance[size + 1] ?? NaN;
  const mean = (ee + nn) / 2;
  const spread = Math.hypot((ee - nn) / 2, en);
  const large = mean + spread;
  const small = mean - spread;
  // Rounding may leave a tiny negative where the truth is zero.
  if (!(large > 0) || small < -1e-6 * large) return undefined;
  const angleFromEast = 0.5 * Math.atan2(2 * en, ee - nn);
  return {
    major: sigmas * Math.sqrt(large),
    minor: sigmas * Math.sqrt(Math.max(small, 0)),
    bearing: wrapBearing(Math.PI / 2 - angleFromEast) % Math.PI,
  };
}

/** How far a wedge reaches when nothing is known of the range, metres. */
export const WEDGE_REACH = 3000;
const WEDGE_SIGMAS = 2;

/**
 * The wedge of a track whose range no measurement bears on: bearing ± 2 sigma, and as near and far
 * as its range prior allows (from the own-ship to `reach` when there is none).
 */
export function wedge(
  bearing: number,
  bearingStd: number,
  range: number,
  rangeStd: number,
  reach = WEDGE_REACH,
): Wedge | undefined {
  if (!Number.isFinite(bearing)) return undefined;
  // Never a line: a sensor without a stated sigma is no exact one.
  const half = Math.min(Math.max(WEDGE_SIGMAS * (bearingStd >= 0 ? bearingStd : 0.1), 0.004), Math.PI);
  const known = range > 0 && rangeStd >= 0;
  return {
    from: wrapBearing(bearing - half),
    to: wrapBearing(bearing + half),
    near: known ? Math.max(0, range - WEDGE_SIGMAS * rangeStd) : 0,
    far: known ? range + WEDGE_SIGMAS * rangeStd : reach,
  };
}

/** Angle from `from` clockwise to `to`; equal ones are the whole circle. */
export function sweep(from: number, to: number): number {
  const angle = wrapBearing(to - from);
  return angle === 0 ? TAU : angle;
}

/** Whether a bearing lies in the sector from `from` clockwise to `to`. */
export function inSector(bearing: number, from: number, to: number): boolean {
  return wrapBearing(bearing - from) <= sweep(from, to);
}

/** Whether a place lies inside a wedge seen from `origin`. */
export function inWedge(point: Place, origin: Place, shape: Wedge): boolean {
  const east = point[0] - origin[0];
  const north = point[1] - origin[1];
  const range = Math.hypot(east, north);
  if (range < shape.near || range > shape.far) return false;
  return inSector(wrapBearing(Math.atan2(east, north)), shape.from, shape.to);
}

/** Outline of a sector, clockwise; a whole circle when its ends are equal. */
export function sectorOutline(
  origin: Place,
  from: number,
  to: number,
  near: number,
  far: number,
  steps = 32,
): [number, number][] {
  const angle = sweep(from, to);
  const outline: [number, number][] = [];
  for (let i = 0; i <= steps; i++) outline.push(place(origin as [number, number], from + (angle * i) / steps, far));
  if (angle === TAU) return outline;
  if (near <= 0) return [[origin[0], origin[1]], ...outline];
  for (let i = steps; i >= 0; i--) outline.push(place(origin as [number, number], from + (angle * i) / steps, near));
  return outline;
}

/**
 * How far off the middle of a camera's picture a point of it lies, radians: to the right, and up.
 *
 * @param across -0.5 at the left edge to 0.5 at the right one; `down` likewise from the top.
 * @param field horizontal field of view, radians; `aspect` is width over height (pinhole camera).
 */
export function offAxis(across: number, down: number, field: number, aspect: number): [right: number, up: number] {
  const half = 2 * Math.tan(field / 2);
  return [Math.atan(across * half), -Math.atan((down * half) / aspect)];
}

/** Even-odd rule. */
export function inPolygon(point: Place, corners: readonly Place[]): boolean {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [xi, yi] = corners[i] as Place;
    const [xj, yj] = corners[j] as Place;
    if (yi > point[1] !== yj > point[1] && point[0] < ((xj - xi) * (point[1] - yi)) / (yj - yi) + xi) {
      inside = !inside;
    }
  }
  return inside;
}

/** Whether an outline crosses itself: such a zone has no clear inside. */
export function crossesItself(corners: readonly Place[]): boolean {
  const n = corners.length;
  const side = (a: Place, b: Place, c: Place): number =>
    Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  for (let i = 0; i < n; i++) {
    for (let j = i + 2; j < n; j++) {
      if (i === 0 && j === n - 1) continue;
      const a = corners[i] as Place;
      const b = corners[(i + 1) % n] as Place;
      const c = corners[j] as Place;
      const d = corners[(j + 1) % n] as Place;
      if (side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) return true;
    }
  }
  return false;
}

/** A round distance between range rings, so that about `count` of them fit into `radius`. */
export function ringStep(radius: number, count = 4): number {
  const raw = radius / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const lead = raw / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}
