// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { History } from "../src/core/history";
import { Trails } from "../src/core/trails";

describe("History", () => {
  it("gives what was newest at a time", () => {
    const history = new History<string>(100);
    history.add(1, "a");
    history.add(2, "b");
    history.add(5, "c");
    expect(history.at(0.5)).toBeUndefined();
    expect(history.at(2)).toBe("b");
    expect(history.at(4.9)).toBe("b");
    expect(history.at(50)).toBe("c");
    expect(history.between(1, 5)).toEqual(["b", "c"]);
  });

  it("puts what is late into its own time's place", () => {
    const history = new History<number>(100);
    for (const t of [1, 3, 2, 5, 4]) history.add(t, t);
    expect(history.between(0, 10)).toEqual([1, 2, 3, 4, 5]);
  });

  it("forgets what is older than its span, and keeps its spacing", () => {
    const history = new History<number>(10, Infinity, 1);
    for (let t = 0; t <= 50; t += 0.25) history.add(t, t);
    expect(history.oldest).toBeGreaterThanOrEqual(40);
    expect(history.length).toBe(11);
  });

  it("stays within its budget by thinning the old, not by losing its span", () => {
    const history = new History<number>(1000, 5000);
    for (let t = 0; t < 500; t++) history.add(t, t, 100);
    expect(history.bytes).toBeLessThanOrEqual(5000);
    expect(history.at(499)).toBe(499);
    expect(history.oldest).toBe(0);
    history.clear();
    expect(history.bytes).toBe(0);
    history.add(1, 1);
    expect(history.at(1)).toBe(1);
  });

  it("agrees with a plain search, whatever the order of arrival", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 }), fc.integer({ min: 0, max: 60 }), (times, at) => {
        const history = new History<number>(1000);
        times.forEach((t) => history.add(t, t));
        const before = times.filter((t) => t <= at);
        expect(history.at(at)).toBe(before.length > 0 ? Math.max(...before) : undefined);
      }),
    );
  });
});

describe("Trails", () => {
  it("keep places in time order, half a second apart, for the span", () => {
    const trails = new Trails(60);
    for (let t = 0; t < 200; t += 0.1) trails.add("x", t, t * 2, -t);
    const trail = trails.get("x");
    if (trail === undefined) throw new Error("no trail");
    const [from, to] = Trails.range(trail, 190, 195);
    expect(to - from).toBeGreaterThanOrEqual(8);
    expect(to - from).toBeLessThanOrEqual(11);
    for (let i = from; i < to; i++) {
      expect(trail.times[i]).toBeGreaterThanOrEqual(190);
      expect(trail.east[i]).toBeCloseTo((trail.times[i] ?? 0) * 2, 3);
    }
    expect(trail.length - trail.first).toBeLessThanOrEqual(125);
    expect(trail.times.length).toBeLessThanOrEqual(512);
  });

  it("take no unknown place, and forget the silent", () => {
    const trails = new Trails(60);
    trails.add("x", 1, NaN, 2);
    expect(trails.get("x")).toBeUndefined();
    trails.add("y", 1, 1, 2);
    trails.prune(50);
    expect(trails.size).toBe(1);
    trails.prune(100);
    expect(trails.size).toBe(0);
  });
});
