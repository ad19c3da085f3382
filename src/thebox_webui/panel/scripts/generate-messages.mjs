// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0
//
// Writes src/generated/messages.ts: the message definitions that the panel decodes, as data for the
// CDR reader and as TypeScript types. They are read from the workspace's own .msg, .srv and .action
// files at each build, so that the panel cannot drift from the box; ROS's common messages come from
// @foxglove/rosmsg-msgs-common (those of Jazzy, which Kilted shares).

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "@foxglove/rosmsg";
import { ros2jazzy } from "@foxglove/rosmsg-msgs-common";

const here = dirname(fileURLToPath(import.meta.url));
const workspace = resolve(process.env.THEBOX_ROOT ?? join(here, "../../../.."));
const output = join(here, "../src/generated/messages.ts");

/** Folders that hold definitions, by package. */
const packages = {
  thebox_interfaces: join(workspace, "src/thebox_interfaces"),
  vision_msgs: join(workspace, "compat/vision_msgs"),
};

/** What the panel reads; what these are made of follows by itself. */
const roots = [
  "thebox_interfaces/TrackArray",
  "thebox_interfaces/Detection",
  "thebox_interfaces/SensorCoverage",
  "thebox_interfaces/GimbalState",
  "thebox_interfaces/Event",
  "thebox_interfaces/ZoneArray",
  "thebox_interfaces/GetTrackEvidence_Response",
  "thebox_interfaces/SetZones_Response",
  "thebox_interfaces/AcknowledgeEvents_Response",
  "thebox_interfaces/QueryEvents_Response",
  "thebox_interfaces/SetCameraLock_Response",
  "thebox_interfaces/SetZoom_Response",
  "thebox_interfaces/SlewTo_Result",
  "thebox_interfaces/SlewTo_Feedback",
  "vision_msgs/Detection2DArray",
  "diagnostic_msgs/DiagnosticArray",
  "nav_msgs/Odometry",
  "sensor_msgs/NavSatFix",
  "sensor_msgs/CompressedImage",
];

/** Text of one definition, or undefined. @param {string} name package/Type */
function source(name) {
  const [pkg, type] = name.split("/");
  const folder = packages[pkg];
  if (folder === undefined) return undefined;
  const [stem, part] = type.split("_");
  const kinds = part === undefined ? ["msg"] : ["srv", "action"];
  for (const kind of kinds) {
    let names;
    try {
      names = readdirSync(join(folder, kind));
    } catch {
      continue;
    }
    if (!names.includes(`${stem}.${kind}`)) continue;
    const parts = readFileSync(join(folder, kind, `${stem}.${kind}`), "utf8").split(/^---$/m);
    const order = kind === "srv" ? ["Request", "Response"] : ["Goal", "Result", "Feedback"];
    return kind === "msg" ? parts[0] : parts[order.indexOf(part)];
  }
  return undefined;
}

/** @returns {{name?: string, definitions: any[]}} */
function definition(name) {
  const text = source(name);
  if (text !== undefined) return parse(text, { ros2: true, skipTypeFixup: true })[0];
  const common = ros2jazzy[name];
  if (common === undefined) throw new Error(`no definition of ${name}: is the workspace whole?`);
  return common;
}

const full = (type, pkg) => (type.includes("/") ? type.replace("/msg/", "/") : `${pkg}/${type}`);
const special = new Set(["time", "duration", "builtin_interfaces/Time", "builtin_interfaces/Duration"]);

const found = new Map();
function collect(name) {
  if (found.has(name)) return;
  const pkg = name.split("/")[0];
  const fields = definition(name).definitions.map((field) => {
    const copy = { ...field };
    if (copy.isComplex === true) {
      copy.type = full(copy.type === "Header" ? "std_msgs/Header" : copy.type, pkg);
      // CDR knows a stamp as a primitive of two integers.
      if (special.has(copy.type)) {
        copy.type = copy.type.endsWith("Duration") || copy.type === "duration" ? "duration" : "time";
        copy.isComplex = false;
      }
    }
    return copy;
  });
  found.set(name, fields);
  for (const field of fields) if (field.isComplex === true) collect(field.type);
}
roots.forEach(collect);

const typeName = (name) => name.split("/")[1].replace("_", "");
const arrays = {
  float64: "Float64Array", float32: "Float32Array", uint8: "Uint8Array", byte: "Uint8Array",
  char: "Uint8Array", int8: "Int8Array", uint16: "Uint16Array", int16: "Int16Array",
  uint32: "Uint32Array", int32: "Int32Array", uint64: "BigUint64Array", int64: "BigInt64Array",
};
function tsType(field) {
  let base;
  if (field.isComplex === true) base = typeName(field.type);
  else if (field.type === "time" || field.type === "duration") base = "Time";
  else if (field.type === "string" || field.type === "wstring") base = "string";
  else if (field.type === "bool") base = "boolean";
  else if (field.type === "int64" || field.type === "uint64") base = "bigint";
  else base = "number";
  if (field.isArray !== true) return base;
  return field.isComplex !== true && arrays[field.type] ? arrays[field.type] : `${base}[]`;
}

const types = [];
const constants = [];
for (const [name, fields] of [...found].sort(([a], [b]) => a.localeCompare(b))) {
  const rows = fields.filter((f) => f.isConstant !== true).map((f) => `  ${f.name}: ${tsType(f)};`);
  types.push(`/** ${name} */\nexport interface ${typeName(name)} {\n${rows.join("\n")}\n}`);
  const fixed = fields.filter((f) => f.isConstant === true);
  if (fixed.length > 0) {
    const values = fixed.map((f) => `  ${f.name}: ${JSON.stringify(f.value)},`);
    constants.push(`export const ${typeName(name)}Constants = {\n${values.join("\n")}\n} as const;`);
  }
}
const data = [...found].map(([name, definitions]) => ({ name, definitions }));
mkdirSync(dirname(output), { recursive: true });
writeFileSync(
  output,
  `// Generated by scripts/generate-messages.mjs; do not edit.
import type { MessageDefinition } from "@foxglove/message-definition";

export interface Time {
  sec: number;
  nanosec: number;
}

${types.join("\n\n")}

${constants.join("\n\n")}

export const definitions: MessageDefinition[] = JSON.parse(
  ${JSON.stringify(JSON.stringify(data, (_, value) => (typeof value === "bigint" ? Number(value) : value)))},
) as MessageDefinition[];
`,
);
