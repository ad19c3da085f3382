// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { MessageWriter } from "@foxglove/rosmsg2-serialization";
import { describe, expect, it } from "vitest";
import { decode, normalise, seconds, toWire, uuidBytes, uuidText } from "../src/core/codec";
import { definitions, TrackConstants, type Detection, type TrackArray } from "../src/generated/messages";

/** CDR bytes as a bridge sends them, by the library's own writer. */
function encode(type: string, message: unknown): Uint8Array {
  const root = definitions.find((d) => d.name === type);
  if (root === undefined) throw new Error(type);
  return new MessageWriter([root, ...definitions.filter((d) => d !== root)]).writeMessage(message);
}

describe("CDR", () => {
  it("brings a picture through, NaN and all", () => {
    const track = {
      ...normalise<object>("thebox_interfaces/Track", {}),
      id: { uuid: Uint8Array.from({ length: 16 }, (_, i) => i + 1) },
      number: 7,
      state: TrackConstants.STATE_CONFIRMED,
      bearing: 1.5,
      range: NaN,
      sensors: ["droneshield", "mara"],
      frequencies: [2.4e9, 5.8e9],
      label: "DJI Mavic",
    };
    const sent = {
      header: { stamp: { sec: 12, nanosec: 500000000 }, frame_id: "map" },
      newest_detection: { sec: 12, nanosec: 0 },
      tracks: [track, track],
    };
    const got = decode<TrackArray>("thebox_interfaces/TrackArray", encode("thebox_interfaces/TrackArray", sent));
    expect(seconds(got.header.stamp)).toBe(12.5);
    expect(got.tracks.length).toBe(2);
    const [one] = got.tracks;
    expect(one?.number).toBe(7);
    expect(one?.range).toBeNaN();
    expect(one?.label).toBe("DJI Mavic");
    expect(one?.sensors).toEqual(["droneshield", "mara"]);
    expect([...(one?.frequencies ?? [])]).toEqual([2.4e9, 5.8e9]);
    expect(one?.covariance.length).toBe(36);
  });

  it("says so when the bytes are cut short", () => {
    const bytes = encode("thebox_interfaces/Event", { id: "one", text: "something" });
    expect(() => decode("thebox_interfaces/Event", bytes.subarray(0, 20))).toThrow();
    expect(() => decode("thebox_interfaces/Nothing", bytes)).toThrow(/no definition/);
  });
});

describe("values from a bridge without cbor-raw", () => {
  it("null is NaN, base64 is bytes, what is missing is there", () => {
    const got = normalise<Detection>("thebox_interfaces/Detection", {
      sensor: "mara",
      bearing: 1,
      range: null,
      position_covariance: [1, null, 3],
    });
    expect(got.range).toBeNaN();
    expect(got.bearing).toBe(1);
    expect(got.rssi).toBeNaN();
    expect(got.label).toBe("");
    expect(got.position_covariance[1]).toBeNaN();
    expect(got.header.stamp).toEqual({ sec: 0, nanosec: 0 });
    const picture = normalise<{ data: Uint8Array }>("sensor_msgs/CompressedImage", { data: btoa("\x01\x02\xff") });
    expect([...picture.data]).toEqual([1, 2, 255]);
  });

  it("typed arrays of CBOR stay what they are", () => {
    const got = normalise<{ uuid: Uint8Array }>("unique_identifier_msgs/UUID", { uuid: Uint8Array.of(1, 2, 3) });
    expect([...got.uuid]).toEqual([1, 2, 3]);
  });
});

it("a UUID goes to text and back; the all-zero one is none", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => 255 - i);
  expect(uuidText(bytes)).toBe("fffefdfc-fbfa-f9f8-f7f6-f5f4f3f2f1f0");
  expect(uuidBytes(uuidText(bytes))).toEqual([...bytes]);
  expect(uuidText(new Uint8Array(16))).toBe("");
});

it("NaN goes out as NaN, and text that looks alike stays text", () => {
  expect(toWire({ a: NaN, b: [1, NaN], c: "NaN", d: 2.5 })).toBe('{"a":NaN,"b":[1,NaN],"c":"NaN","d":2.5}');
});
