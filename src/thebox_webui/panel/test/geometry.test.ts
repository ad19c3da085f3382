// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bearingOf, headingOf, place, radians, TAU, wrapAngle, wrapBearing } from "../src/core/angles";
import { crossesItself, ellipse, inPolygon, inSector, inWedge, offAxis, ringStep, sectorOutline, sweep, wedge } from "../src/core/geometry";

const angle = fc.double({ min: -50, max: 50, noNaN: true });

describe("a point of the camera's picture", () => {
  it("lies off its middle as a pinhole camera sees it", () => {
    const field = 0.6;
    expect(offAxis(0, 0, field, 16 / 9).map(Math.abs)).toEqual([0, 0]);
    expect(offAxis(0.5, 0, field, 16 / 9)[0]).toBeCloseTo(field / 2, 12);
    expect(offAxis(-0.5, 0, field, 16 / 9)[0]).toBeCloseTo(-field / 2, 12);
    // Above the middle is up; the picture is less high than wide.
    const [, up] = offAxis(0, -0.5, field, 16 / 9);
    expect(Math.tan(up)).toBeCloseTo((Math.tan(field / 2) * 9) / 16, 12);
  });
});

describe("angles", () => {
  it("wrap into their ranges and keep the direction", () => {
    fc.assert(
      fc.property(angle, (a) => {
        expect(wrapBearing(a)).toBeGreaterThanOrEqual(0);
        expect(wrapBearing(a)).toBeLessThan(TAU + 1e-12);
        expect(Math.abs(wrapAngle(a))).toBeLessThanOrEqual(Math.PI + 1e-12);
        expect(Math.cos(wrapBearing(a))).toBeCloseTo(Math.cos(a), 9);
        expect(Math.sin(wrapAngle(a))).toBeCloseTo(Math.sin(a), 9);
      }),
    );
  });

  it("a place at a bearing is seen at that bearing", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 6.28, noNaN: true }), fc.double({ min: 1, max: 1e5, noNaN: true }), (b, r) => {
        const [east, north] = place([0, 0], b, r);
        expect(Math.abs(wrapAngle(bearingOf(east, north) - b))).toBeLessThan(1e-6);
        expect(Math.hypot(east, north)).toBeCloseTo(r, 4);
      }),
    );
  });

  it("heading: yaw from east anticlockwise becomes a bearing from north clockwise", () => {
    const yaw = (y: number) => ({ x: 0, y: 0, z: Math.sin(y / 2), w: Math.cos(y / 2) });
    expect(headingOf(yaw(0))).toBeCloseTo(radians(90));
    expect(headingOf(yaw(Math.PI / 2))).toBeCloseTo(0);
    expect(headingOf(yaw(radians(45)))).toBeCloseTo(radians(45));
  });
});

describe("ellipse", () => {
  it("of a diagonal covariance has its axes along east and north", () => {
    const covariance = new Float64Array(36);
    covariance[0] = 100;
    covariance[7] = 4;
    const shape = ellipse(covariance, 2);
    expect(shape?.major).toBeCloseTo(20);
    expect(shape?.minor).toBeCloseTo(4);
    expect(shape?.bearing).toBeCloseTo(Math.PI / 2);
  });

  it("turns with the covariance", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 3.1, noNaN: true }), (b) => {
        // Long axis of 10 m along bearing b, short one of 1 m.
        const [s, c] = [Math.sin(b), Math.cos(b)];
        const covariance = new Float64Array(36);
        covariance[0] = 100 * s * s + c * c;
        covariance[1] = covariance[6] = 99 * s * c;
        covariance[7] = 100 * c * c + s * s;
        const shape = ellipse(covariance, 1);
        expect(shape?.major).toBeCloseTo(10, 5);
        expect(shape?.minor).toBeCloseTo(1, 5);
        expect(Math.abs(Math.sin((shape?.bearing ?? 0) - b))).toBeLessThan(1e-6);
      }),
    );
  });

  it("is not drawn from nonsense", () => {
    expect(ellipse(new Float64Array(36).fill(NaN))).toBeUndefined();
    expect(ellipse(new Float64Array(36))).toBeUndefined();
    const negative = new Float64Array(36);
    negative[0] = 1;
    negative[1] = negative[6] = 5;
    negative[7] = 1;
    expect(ellipse(negative)).toBeUndefined();
  });
});

describe("wedge", () => {
  it("is two sigma to each side, and reaches from the near to the far end of its range prior", () => {
    const shape = wedge(1, 0.1, 1000, 200);
    expect(shape?.from).toBeCloseTo(0.8);
    expect(shape?.to).toBeCloseTo(1.2);
    expect(shape?.near).toBeCloseTo(600);
    expect(shape?.far).toBeCloseTo(1400);
  });

  it("without any range reaches from the own-ship out; without a bearing there is none", () => {
    expect(wedge(1, 0.1, NaN, NaN, 3000)).toMatchObject({ near: 0, far: 3000 });
    expect(wedge(NaN, 0.1, 100, 1)).toBeUndefined();
  });

  it("holds the places within it, across north as well", () => {
    const shape = wedge(0, 0.1, 1000, 100);
    if (shape === undefined) throw new Error("no wedge");
    expect(inWedge([50, 1000], [0, 0], shape)).toBe(true);
    expect(inWedge([-50, 1000], [0, 0], shape)).toBe(true);
    expect(inWedge([500, 1000], [0, 0], shape)).toBe(false);
    expect(inWedge([0, 100], [0, 0], shape)).toBe(false);
  });

  it("of an unknown sigma is no line", () => {
    const shape = wedge(1, NaN, NaN, NaN);
    expect(sweep(shape?.from ?? 0, shape?.to ?? 0)).toBeGreaterThan(0.1);
  });
});

describe("sectors and outlines", () => {
  it("equal ends are the whole circle", () => {
    expect(sweep(2, 2)).toBe(TAU);
    expect(inSector(5, 2, 2)).toBe(true);
    expect(sectorOutline([0, 0], 0, 0, 0, 100).length).toBe(33);
  });

  it("an outline goes out and back", () => {
    const outline = sectorOutline([10, 20], 0, 1, 50, 100, 4);
    expect(outline.length).toBe(10);
    expect(Math.hypot((outline[0]?.[0] ?? 0) - 10, (outline[0]?.[1] ?? 0) - 20)).toBeCloseTo(100);
    expect(Math.hypot((outline[9]?.[0] ?? 0) - 10, (outline[9]?.[1] ?? 0) - 20)).toBeCloseTo(50);
  });

  it("knows inside from outside", () => {
    const square: [number, number][] = [
      [0, 0],
      [10, 0],
      [10, 10],
      [0, 10],
    ];
    expect(inPolygon([5, 5], square)).toBe(true);
    expect(inPolygon([15, 5], square)).toBe(false);
    expect(crossesItself(square)).toBe(false);
    expect(crossesItself([[0, 0], [10, 10], [10, 0], [0, 10]])).toBe(true);
  });

  it("rings stand at round distances", () => {
    expect(ringStep(1600)).toBe(500);
    expect(ringStep(4000)).toBe(1000);
    expect(ringStep(90)).toBe(20);
  });
});
