// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { check, choicesOf, form, rangeText, textOf, valueOf, type Descriptor, type Field } from "../src/core/parameters";

const descriptor = (name: string, type: number, more: Partial<Descriptor> = {}): Descriptor => ({
  name,
  type,
  description: "",
  additional_constraints: "",
  read_only: false,
  floating_point_range: [],
  integer_range: [],
  ...more,
});

function field(type: number, value: object, more: Partial<Descriptor> = {}): Field {
  const [made] = form([descriptor("a.b", type, more)], [{ type, ...value }]);
  if (made === undefined) throw new Error("no field");
  return made;
}

describe("the form", () => {
  it("takes range, choices and groups from the descriptors", () => {
    const one = field(3, { double_value: 2.5 }, { floating_point_range: [{ from_value: 0, to_value: 10, step: 0 }] });
    expect(one).toMatchObject({ group: "a", kind: "double", minimum: 0, maximum: 10, text: "2.5" });
    expect(rangeText(one)).toBe("0 … 10");
    expect(choicesOf("one of: true, bow")).toEqual(["true", "bow"]);
    expect(choicesOf("anything goes")).toEqual([]);
  });

  it("shows an open end as open", () => {
    const one = field(2, { integer_value: 5 }, { integer_range: [{ from_value: 1, to_value: 2 ** 63, step: 1 }] });
    expect(rangeText(one)).toBe("1 … ");
  });

  it("keeps values apart from descriptors of no type", () => {
    expect(form([descriptor("x", 0)], [{ type: 0 }])).toEqual([]);
    expect(textOf({ type: 9, string_array_value: ["a", "b"] })).toBe("a, b");
    expect(textOf({ type: 1, bool_value: true })).toBe("true");
  });
});

describe("checks before sending", () => {
  const ranged = field(3, { double_value: 1 }, { floating_point_range: [{ from_value: 0, to_value: 10, step: 0 }] });

  it("say why", () => {
    expect(check(ranged, "5")).toBe("");
    expect(check(ranged, "11")).toBe("11 is outside 0 … 10");
    expect(check(ranged, "NaN")).toContain("not a finite number");
    expect(check(ranged, "")).toContain("needed");
    expect(check(field(2, { integer_value: 1 }), "1.5")).toContain("whole");
    expect(check(field(4, { string_value: "bow" }, { additional_constraints: "one of: true, bow" }), "port")).toContain("not one of true, bow");
    expect(check(field(1, { bool_value: true }), "yes")).toContain("true or false");
    expect(check(field(1, { bool_value: true }, { read_only: true }), "true")).toContain("start only");
  });

  it("look at every element of a list", () => {
    const list = field(8, { double_array_value: [1] }, { floating_point_range: [{ from_value: 0, to_value: 10, step: 0 }] });
    expect(check(list, "1, 2, 3")).toBe("");
    expect(check(list, "1, 20")).toContain("20 is outside");
    expect(valueOf(list, "1, 2")).toEqual({ type: 8, double_array_value: [1, 2] });
    expect(valueOf(list, "")).toEqual({ type: 8, double_array_value: [] });
    expect(() => valueOf(list, "x")).toThrow(/a\.b/);
  });

  it("what is sent is of the declared type", () => {
    expect(valueOf(field(1, { bool_value: true }), "false")).toEqual({ type: 1, bool_value: false });
    expect(valueOf(field(2, { integer_value: 1 }), "7")).toEqual({ type: 2, integer_value: 7 });
    expect(valueOf(field(4, { string_value: "" }), "x")).toEqual({ type: 4, string_value: "x" });
  });
});
