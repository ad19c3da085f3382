// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Messages from bytes (CDR, of `cbor-raw`) or from what a bridge made of them (CBOR, JSON). */

import type { MessageDefinition, MessageDefinitionField } from "@foxglove/message-definition";
import { MessageReader } from "@foxglove/rosmsg2-serialization";
import { definitions } from "../generated/messages";

const byName = new Map<string, MessageDefinition>(definitions.map((d) => [d.name ?? "", d]));
const readers = new Map<string, MessageReader>();

/** Definition of `package/Type`. @throws Error when the panel was built without it. */
function definition(type: string): MessageDefinition {
  const found = byName.get(type);
  if (found === undefined) throw new Error(`no definition of ${type} in this build of the panel`);
  return found;
}

/** Decode one CDR-encapsulated message of `package/Type`. @throws RangeError when it is cut short. */
export function decode<T>(type: string, bytes: Uint8Array): T {
  let reader = readers.get(type);
  if (reader === undefined) {
    const root = definition(type);
    reader = new MessageReader([root, ...definitions.filter((d) => d !== root)]);
    readers.set(type, reader);
  }
  return reader.readMessage<T>(bytes);
}

const arrays: Record<string, (values: Iterable<number>) => ArrayLike<number>> = {
  float64: (v) => Float64Array.from(v),
  float32: (v) => Float32Array.from(v),
  uint8: (v) => Uint8Array.from(v),
  int8: (v) => Int8Array.from(v),
  uint16: (v) => Uint16Array.from(v),
  int16: (v) => Int16Array.from(v),
  uint32: (v) => Uint32Array.from(v),
  int32: (v) => Int32Array.from(v),
};
const numbers = new Set([...Object.keys(arrays), "byte", "char"]);

function base64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function scalar(type: string, value: unknown): unknown {
  if (type === "float64" || type === "float32") {
    // JSON knows no NaN; bridges write null.
    return typeof value === "number" ? value : NaN;
  }
  if (type === "bool") return value === true;
  if (type === "string" || type === "wstring") return typeof value === "string" ? value : "";
  if (type === "int64" || type === "uint64") {
    return typeof value === "bigint" ? value : BigInt(Math.trunc(Number(value ?? 0)));
  }
  if (type === "time" || type === "duration") {
    const time = (value ?? {}) as Record<string, number>;
    return { sec: time.sec ?? time.secs ?? 0, nanosec: time.nanosec ?? time.nsecs ?? 0 };
  }
  return Number(value ?? 0);
}

function list(field: MessageDefinitionField, value: unknown): unknown {
  if (field.isComplex === true) {
    return Array.isArray(value) ? value.map((item) => normalise(field.type, item)) : [];
  }
  const make = arrays[field.type === "byte" || field.type === "char" ? "uint8" : field.type];
  if (make === undefined) {
    return Array.isArray(value) ? value.map((item) => scalar(field.type, item)) : [];
  }
  // rosbridge writes uint8[] as base64 text in JSON.
  if (typeof value === "string") return make(base64(value));
  if (ArrayBuffer.isView(value)) return make(value as unknown as Iterable<number>);
  if (!Array.isArray(value)) {
    const unknown = field.type.startsWith("float") ? NaN : 0;
    return make(new Array<number>(field.arrayLength ?? 0).fill(unknown));
  }
  return make(value.map((item) => scalar(field.type, item) as number));
}

/** The same message in the form that `decode` gives: NaN for null, typed arrays, no field missing. */
export function normalise<T>(type: string, message: unknown): T {
  const given = (typeof message === "object" && message !== null ? message : {}) as Record<string, unknown>;
  const out: Record<string, unknown> = {};
  for (const field of definition(type).definitions) {
    if (field.isConstant === true) continue;
    const value = given[field.name];
    if (field.isArray === true) out[field.name] = list(field, value);
    else if (field.isComplex === true) out[field.name] = normalise(field.type, value);
    else out[field.name] = scalar(field.type, value);
  }
  return out as T;
}

/** Whether a type is one of the numeric primitives (for tests of the generator). */
export const isNumber = (type: string): boolean => numbers.has(type);

/** Seconds of a stamp. */
export const seconds = (time: { sec: number; nanosec: number }): number =>
  time.sec + time.nanosec * 1e-9;

/** Text of a UUID; empty for the all-zero one. */
export function uuidText(uuid: ArrayLike<number>): string {
  let text = "";
  let any = false;
  for (let i = 0; i < 16; i++) {
    const byte = uuid[i] ?? 0;
    any ||= byte !== 0;
    text += byte.toString(16).padStart(2, "0");
    if (i === 3 || i === 5 || i === 7 || i === 9) text += "-";
  }
  return any ? text : "";
}

/** Bytes of a UUID's text, as JSON takes them. */
export function uuidBytes(text: string): number[] {
  const hex = text.replaceAll("-", "");
  return Array.from({ length: 16 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16) || 0);
}

/** JSON with NaN and infinities written as Python's json reads them: null would be refused for a number. */
export function toWire(message: unknown): string {
  const mark = "\u0001nan\u0001";
  const text = JSON.stringify(message, (_, value: unknown) =>
    typeof value === "number" && Number.isNaN(value) ? mark : value,
  );
  return text.replaceAll('"\\u0001nan\\u0001"', "NaN");
}
