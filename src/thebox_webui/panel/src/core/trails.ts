// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Where tracks have been: per track, times and places in flat arrays. */

const SPACING = 0.5;

export interface Trail {
  /** Seconds, ascending; `length` of them are in use. */
  times: Float64Array;
  east: Float32Array;
  north: Float32Array;
  first: number;
  length: number;
}

/** Trails of all tracks of the last `span` seconds. */
export class Trails {
  private readonly trails = new Map<string, Trail>();

  constructor(private readonly span: number) {}

  /** Note a place; ones nearer than half a second to the last are not kept. */
  add(id: string, time: number, east: number, north: number): void {
    if (!Number.isFinite(east) || !Number.isFinite(north)) return;
    let trail = this.trails.get(id);
    if (trail === undefined) {
      trail = {
        times: new Float64Array(64),
        east: new Float32Array(64),
        north: new Float32Array(64),
        first: 0,
        length: 0,
      };
      this.trails.set(id, trail);
    }
    const end = trail.length;
    if (end > trail.first && time - (trail.times[end - 1] as number) < SPACING) return;
    while (trail.first < end && (trail.times[trail.first] as number) < time - this.span) trail.first++;
    if (end === trail.times.length) this.grow(trail);
    const slot = trail.length;
    trail.times[slot] = time;
    trail.east[slot] = east;
    trail.north[slot] = north;
    trail.length = slot + 1;
  }

  get(id: string): Trail | undefined {
    return this.trails.get(id);
  }

  /** Index range [from, to) of a trail's places with start <= time <= end. */
  static range(trail: Trail, start: number, end: number): [number, number] {
    let from = trail.length;
    while (from > trail.first && (trail.times[from - 1] as number) >= start) from--;
    let to = trail.length;
    while (to > from && (trail.times[to - 1] as number) > end) to--;
    return [from, to];
  }

  /** Forget tracks that have been silent for the whole span. */
  prune(now: number): void {
    for (const [id, trail] of this.trails) {
      if ((trail.times[trail.length - 1] ?? -Infinity) < now - this.span) this.trails.delete(id);
    }
  }

  get size(): number {
    return this.trails.size;
  }

  clear(): void {
    this.trails.clear();
  }

  private grow(trail: Trail): void {
    const kept = trail.length - trail.first;
    const room = Math.max(64, kept * 2);
    for (const key of ["times", "east", "north"] as const) {
      const old = trail[key];
      const grown = key === "times" ? new Float64Array(room) : new Float32Array(room);
      grown.set(old.subarray(trail.first, trail.length));
      (trail as unknown as Record<string, Float64Array | Float32Array>)[key] = grown;
    }
    trail.length = kept;
    trail.first = 0;
  }
}
