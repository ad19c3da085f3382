// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Angles: bearings are radians from true north, clockwise, in [0, 2π). */

export const TAU = 2 * Math.PI;

/** The same direction in [0, 2π). */
export function wrapBearing(angle: number): number {
  const wrapped = angle % TAU;
  return wrapped < 0 ? wrapped + TAU : wrapped;
}

/** The same angle in (-π, π]. */
export function wrapAngle(angle: number): number {
  const wrapped = wrapBearing(angle);
  return wrapped > Math.PI ? wrapped - TAU : wrapped;
}

export const degrees = (radians: number): number => (radians * 180) / Math.PI;
export const radians = (deg: number): number => (deg * Math.PI) / 180;

/** Bearing of (east, north) from the origin. */
export const bearingOf = (east: number, north: number): number =>
  wrapBearing(Math.atan2(east, north));

/** East and north of a place at a bearing and a level range. */
export function place(
  origin: readonly [number, number],
  bearing: number,
  range: number,
): [number, number] {
  return [origin[0] + range * Math.sin(bearing), origin[1] + range * Math.cos(bearing)];
}

/** True bearing of the bow from an orientation in ENU (REP-103: yaw from east, anticlockwise). */
export function headingOf(q: { x: number; y: number; z: number; w: number }): number {
  const yaw = Math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z));
  return wrapBearing(Math.PI / 2 - yaw);
}
