// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { TrackConstants as C, type Track } from "../src/generated/messages";
import { normalise } from "../src/core/codec";
import { callsign, identity, passes, show, sortTracks, type Filter, type Kind, type Shown, type State } from "../src/core/track";

function track(number: number, change: Partial<Track> = {}): Shown {
  return show({
    ...normalise<Track>("thebox_interfaces/Track", {}),
    id: { uuid: Uint8Array.from({ length: 16 }, () => number) },
    number,
    state: C.STATE_CONFIRMED,
    confidence: 0.9,
    ...change,
  });
}

const all: Filter = {
  text: "",
  states: new Set<State>(["confirmed", "coasting", "tentative"]),
  kinds: new Set<Kind>(["sought", "other"]),
  sensors: new Set(),
  confidence: 0,
};

describe("what is sought", () => {
  it("is a drone, and all that nobody has told apart from one", () => {
    expect(track(1, { object_class: C.CLASS_DRONE }).kind).toBe("sought");
    expect(track(1, { object_class: C.CLASS_UNKNOWN }).kind).toBe("sought");
    expect(track(1, { object_class: C.CLASS_UNKNOWN, label: "bird" }).kind).toBe("sought");
    for (const told of [C.CLASS_BIRD, C.CLASS_BOAT, C.CLASS_PERSON, C.CLASS_AIRPLANE, C.CLASS_OTHER]) {
      expect(track(1, { object_class: told }).kind).toBe("other");
    }
  });
});

describe("what may be a dot", () => {
  it("only a track whose range was observed and whose place is known", () => {
    const position = { x: 1, y: 2, z: 3 };
    expect(track(1, { position, range_observed: true }).fixed).toBe(true);
    expect(track(1, { position, range_observed: false }).fixed).toBe(false);
    expect(track(1, { position: { x: NaN, y: NaN, z: NaN }, range_observed: true }).fixed).toBe(false);
  });
});

describe("words", () => {
  it("name a track by number, label or class", () => {
    expect(callsign(track(4).track)).toBe("T4");
    expect(callsign(track(0).track)).toBe("new");
    expect(identity(track(1, { label: "DJI" }).track)).toBe("DJI");
    expect(identity(track(1, { object_class: C.CLASS_BIRD }).track)).toBe("bird");
    expect(identity(track(1).track)).toBe("unidentified");
  });
});

describe("filter", () => {
  it("asks for every word, somewhere", () => {
    const one = track(12, { label: "DJI Mavic", sensors: ["droneshield"] });
    expect(passes(one, { ...all, text: "mavic t12" })).toBe(true);
    expect(passes(one, { ...all, text: "DRONES dji" })).toBe(true);
    expect(passes(one, { ...all, text: "mavic silvus" })).toBe(false);
  });

  it("by state, sensor and confidence", () => {
    const one = track(1, { sensors: ["mara"], confidence: 0.5 });
    expect(passes(one, { ...all, states: new Set<State>(["coasting"]) })).toBe(false);
    expect(passes(one, { ...all, sensors: new Set(["dspnor", "mara"]) })).toBe(true);
    expect(passes(one, { ...all, sensors: new Set(["dspnor"]) })).toBe(false);
    expect(passes(one, { ...all, confidence: 0.6 })).toBe(false);
    expect(passes(one, { ...all, kinds: new Set<Kind>(["other"]) })).toBe(false);
    expect(passes(track(1, { object_class: C.CLASS_BIRD }), { ...all, kinds: new Set<Kind>(["sought"]) })).toBe(false);
  });
});

describe("order", () => {
  it("puts the unknown last both ways, and rows that are equal stand still", () => {
    const known = [track(1, { range: 300, range_observed: true }), track(2, { range: 100, range_observed: true })];
    const unknown = track(3, { range: NaN });
    const numbers = (list: Shown[]): number[] => list.map((one) => one.track.number);
    expect(numbers(sortTracks([unknown, ...known], "range", false))).toEqual([2, 1, 3]);
    expect(numbers(sortTracks([unknown, ...known], "range", true))).toEqual([1, 2, 3]);
    const equal = [track(5), track(4), track(6)];
    expect(numbers(sortTracks(equal, "confidence", false))).toEqual(numbers(sortTracks([...equal].reverse(), "confidence", false)));
  });
});
