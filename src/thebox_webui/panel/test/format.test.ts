// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import * as f from "../src/core/format";
import { counts, nodes, number, subject, watching } from "../src/core/health";

const metric: f.Units = { speed: "m/s", length: "m", angle: "deg", time: "utc" };
const nautical: f.Units = { speed: "kn", length: "NM", angle: "mil", time: "utc" };

describe("format", () => {
  it("unknown is a dash, never a zero", () => {
    for (const told of [f.bearing(NaN, metric), f.length(NaN, metric), f.speed(NaN, metric), f.age(NaN), f.percent(NaN), f.clock(NaN, metric)]) {
      expect(told).toBe("–");
    }
  });

  it("bearings have three digits and never read 360", () => {
    expect(f.bearing(0.1, metric)).toBe("006°");
    expect(f.bearing(2 * Math.PI - 0.001, metric)).toBe("000°");
    expect(f.bearing(Math.PI, nautical)).toBe("3200 mil");
  });

  it("units", () => {
    expect(f.length(950, metric)).toBe("950 m");
    expect(f.length(2345, metric)).toBe("2.35 km");
    expect(f.length(1852, nautical)).toBe("1.00 NM");
    expect(f.speed(10, nautical)).toBe("19 kn");
    expect(f.speed(3.14, metric)).toBe("3.1 m/s");
    expect(f.percent(0.996)).toBe("99 %");
    expect(f.duration(0.0012)).toBe("1.2 ms");
    expect(f.age(0.44)).toBe("0.4 s");
    expect(f.age(600)).toBe("10 min");
    expect(f.clock(1757032603, metric)).toBe("00:36:43Z");
    expect(f.bytes(2_500_000)).toBe("2.5 MB");
  });
});

describe("health", () => {
  const status = (name: string, level: number, values: Record<string, string>, message = "ok") => ({
    level,
    name,
    message,
    hardware_id: "none",
    values: Object.entries(values).map(([key, value]) => ({ key, value })),
  });

  it("a node's level is its gravest subject's; rejects come by reason", () => {
    const input = subject(status("mara: input", 1, { rate: "3.5", "rejected.cut": "2", "rejected.late": "9" }, "slow"), 10);
    const cycle = subject(status("mara: life cycle", 0, { lifecycle: "active" }, "active"), 10);
    const [node] = nodes([cycle, input], 11);
    expect(node).toMatchObject({ name: "mara", level: "warn", state: "active", message: "slow" });
    expect(watching(node)).toBe("quiet");
    expect(counts(input, "rejected")).toEqual([["late", 9], ["cut", 2]]);
    expect(number(input, "rate")).toBe(3.5);
    expect(number(input, "nothing")).toBeNaN();
  });

  it("silence and a stopped node are blind", () => {
    const input = subject(status("mara: input", 0, {}), 10);
    const [silent] = nodes([input], 100);
    expect(silent?.level).toBe("stale");
    expect(watching(silent)).toBe("blind");
    const [stopped] = nodes([input, subject(status("mara: life cycle", 0, { lifecycle: "inactive" }), 10)], 10);
    expect(watching(stopped)).toBe("blind");
    expect(watching(undefined)).toBe("blind");
  });
});

describe("what is typed in", () => {
  it("is taken in the unit that is read", () => {
    expect(1600 * f.angleEntry({ ...metric, angle: "mil" }).radians).toBeCloseTo(Math.PI / 2, 12);
    expect(90 * f.angleEntry({ ...metric, angle: "deg" }).radians).toBeCloseTo(Math.PI / 2, 12);
    expect(100 * f.heightEntry({ ...metric, length: "ft" }).metres).toBeCloseTo(30.48, 9);
    expect(f.heightEntry({ ...metric, length: "NM" })).toEqual({ unit: "m", metres: 1 });
  });
});
