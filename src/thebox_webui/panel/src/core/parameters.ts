// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** A node's parameters as a form: fields from descriptors, checked before they are sent. */

/** rcl_interfaces/ParameterType. */
const KINDS = {
  1: "bool",
  2: "integer",
  3: "double",
  4: "string",
  6: "bool array",
  7: "integer array",
  8: "double array",
  9: "string array",
} as const;
export type Kind = (typeof KINDS)[keyof typeof KINDS];

/** rcl_interfaces/ParameterDescriptor, as a bridge gives it. */
export interface Descriptor {
  name: string;
  type: number;
  description: string;
  additional_constraints: string;
  read_only: boolean;
  floating_point_range: { from_value: number | null; to_value: number | null; step: number }[];
  integer_range: { from_value: number; to_value: number; step: number }[];
}

/** rcl_interfaces/ParameterValue. */
export interface ParameterValue {
  type: number;
  bool_value?: boolean;
  integer_value?: number | bigint;
  double_value?: number | null;
  string_value?: string;
  bool_array_value?: boolean[];
  integer_array_value?: (number | bigint)[];
  double_array_value?: (number | null)[];
  string_array_value?: string[];
}

export interface Field {
  name: string;
  /** First part of a dotted name; empty for a plain one. */
  group: string;
  kind: Kind;
  type: number;
  description: string;
  constraints: string;
  minimum: number;
  maximum: number;
  choices: string[];
  readOnly: boolean;
  /** Present value, as the text of its input. */
  text: string;
}

const isArray = (kind: Kind): boolean => kind.endsWith("array");

/** Words that a constraint allows, when it names them: "one of: true, bow" or "true or bow". */
export function choicesOf(constraints: string): string[] {
  const listed = /^(?:one of:?|allowed:?|choices:?)\s*(.+)$/i.exec(constraints.trim());
  const text = listed?.[1] ?? (/^[\w.-]+(?: or [\w.-]+)+$/.test(constraints.trim()) ? constraints : "");
  if (text === "") return [];
  return text
    .split(/,| or /)
    .map((word) => word.trim().replace(/^['"]|['"]$/g, ""))
    .filter(Boolean);
}

const plain = (value: number | bigint | null | undefined): string =>
  value === null || value === undefined ? "NaN" : String(value);

/** Present value as text; arrays with commas. */
export function textOf(value: ParameterValue): string {
  switch (KINDS[value.type as keyof typeof KINDS]) {
    case "bool":
      return String(value.bool_value ?? false);
    case "integer":
      return plain(value.integer_value ?? 0);
    case "double":
      return plain(value.double_value);
    case "string":
      return value.string_value ?? "";
    case "bool array":
      return (value.bool_array_value ?? []).join(", ");
    case "integer array":
      return (value.integer_array_value ?? []).map(plain).join(", ");
    case "double array":
      return (value.double_array_value ?? []).map(plain).join(", ");
    case "string array":
      return (value.string_array_value ?? []).join(", ");
    default:
      return "";
  }
}

/** The form of a node, by group and name; parameters of no known type are left out. */
export function form(descriptors: readonly Descriptor[], values: readonly ParameterValue[]): Field[] {
  const fields: Field[] = [];
  descriptors.forEach((descriptor, index) => {
    const value = values[index];
    const type = descriptor.type || value?.type || 0;
    const kind = KINDS[type as keyof typeof KINDS];
    if (kind === undefined || value === undefined) return;
    const float = descriptor.floating_point_range[0];
    const whole = descriptor.integer_range[0];
    const dot = descriptor.name.indexOf(".");
    fields.push({
      name: descriptor.name,
      group: dot < 0 ? "" : descriptor.name.slice(0, dot),
      kind,
      type,
      description: descriptor.description,
      constraints: descriptor.additional_constraints,
      minimum: float?.from_value ?? whole?.from_value ?? -Infinity,
      maximum: float?.to_value ?? whole?.to_value ?? Infinity,
      choices: choicesOf(descriptor.additional_constraints),
      readOnly: descriptor.read_only,
      text: textOf(value),
    });
  });
  return fields.sort((a, b) => a.group.localeCompare(b.group) || a.name.localeCompare(b.name));
}

function checkNumber(field: Field, text: string): string {
  const whole = field.kind.startsWith("integer");
  if (text.trim() === "") return "a number is needed";
  const value = Number(text);
  if (!Number.isFinite(value)) return `'${text.trim()}' is not a finite number`;
  if (whole && !Number.isInteger(value)) return `${text.trim()} is not a whole number`;
  if (whole && !Number.isSafeInteger(value)) return `${text.trim()} is too large`;
  if (value < field.minimum || value > field.maximum) {
    return `${text.trim()} is outside ${rangeText(field)}`;
  }
  return "";
}

const shortly = (value: number): string => String(Number(value.toPrecision(6)));

/** The allowed range, for people; empty when there is none. */
export function rangeText(field: Field): string {
  if (field.choices.length > 0) return field.choices.join(" or ");
  // rclpy describes an open end by the largest number there is.
  const low = field.minimum <= -9e18 ? "" : shortly(field.minimum);
  const high = field.maximum >= 9e18 ? "" : shortly(field.maximum);
  return low === "" && high === "" ? "" : `${low} … ${high}`;
}

const items = (text: string): string[] =>
  text.trim() === "" ? [] : text.split(",").map((item) => item.trim());

/** Why a text cannot be the field's value; empty when it can. */
export function check(field: Field, text: string): string {
  if (field.readOnly) return "can be set at start only";
  const parts = isArray(field.kind) ? items(text) : [text];
  for (const part of parts) {
    let reason = "";
    if (field.kind.startsWith("integer") || field.kind.startsWith("double")) reason = checkNumber(field, part);
    else if (field.kind.startsWith("bool") && part !== "true" && part !== "false") reason = "true or false is needed";
    else if (field.choices.length > 0 && !field.choices.includes(part)) {
      reason = `'${part}' is not one of ${field.choices.join(", ")}`;
    }
    if (reason !== "") return reason;
  }
  return "";
}

/** The value to send. @throws Error when `check` has something against it. */
export function valueOf(field: Field, text: string): ParameterValue {
  const reason = check(field, text);
  if (reason !== "") throw new Error(`${field.name}: ${reason}`);
  const type = field.type;
  switch (field.kind) {
    case "bool":
      return { type, bool_value: text === "true" };
    case "integer":
      return { type, integer_value: Number(text) };
    case "double":
      return { type, double_value: Number(text) };
    case "string":
      return { type, string_value: text };
    case "bool array":
      return { type, bool_array_value: items(text).map((item) => item === "true") };
    case "integer array":
      return { type, integer_array_value: items(text).map(Number) };
    case "double array":
      return { type, double_array_value: items(text).map(Number) };
    case "string array":
      return { type, string_array_value: items(text) };
  }
}
