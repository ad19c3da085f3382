// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The box's health as its diagnostics tell it: one entry a node, with subjects and values. */

import type { DiagnosticStatus } from "../generated/messages";

export type Level = "ok" | "warn" | "error" | "stale";
const LEVELS: readonly Level[] = ["ok", "warn", "error", "stale"];

export interface Subject {
  node: string;
  name: string;
  level: Level;
  message: string;
  hardware: string;
  values: Map<string, string>;
  /** When it was last heard, seconds of the panel's own steady clock. */
  heard: number;
}

/** After so many seconds without a word a subject counts as stale: diagnostics come once a second. */
export const SILENT_AFTER = 5;

export function subject(status: DiagnosticStatus, heard: number): Subject {
  const colon = status.name.indexOf(":");
  return {
    node: colon < 0 ? status.name : status.name.slice(0, colon).trim(),
    name: colon < 0 ? "" : status.name.slice(colon + 1).trim(),
    level: LEVELS[status.level] ?? "error",
    message: status.message,
    hardware: status.hardware_id === "none" ? "" : status.hardware_id,
    values: new Map(status.values.map(({ key, value }) => [key, value])),
    heard,
  };
}

export interface Node {
  name: string;
  /** Life-cycle state; empty for a node that has none. */
  state: string;
  level: Level;
  message: string;
  silent: boolean;
  subjects: Subject[];
  /** Whether it reads a sensor. */
  input: Subject | undefined;
}

const worse = (a: Level, b: Level): Level => (rank(a) >= rank(b) ? a : b);
const rank = (level: Level): number => ({ ok: 0, warn: 1, stale: 2, error: 3 })[level];

/** All nodes from their subjects, by name; one that has fallen silent is stale. */
export function nodes(subjects: Iterable<Subject>, now: number): Node[] {
  const found = new Map<string, Node>();
  for (const one of subjects) {
    let node = found.get(one.node);
    if (node === undefined) {
      node = { name: one.node, state: "", level: "ok", message: "", silent: true, subjects: [], input: undefined };
      found.set(one.node, node);
    }
    node.subjects.push(one);
    if (now - one.heard <= SILENT_AFTER) node.silent = false;
    if (one.name === "life cycle") node.state = one.values.get("lifecycle") ?? "";
    if (one.name === "input") node.input = one;
    if (rank(one.level) > rank(node.level) || (node.message === "" && one.level === node.level)) {
      node.message = one.name === "life cycle" && one.level === "ok" ? node.message : one.message;
    }
    node.level = worse(node.level, one.level);
  }
  for (const node of found.values()) {
    if (node.silent) {
      node.level = "stale";
      node.message = "no diagnostics: the node has stopped or hangs";
    } else if (node.state !== "" && node.state !== "active") {
      // What a stopped node last said of its input is no longer news.
      node.message = node.level === "error" ? node.message : `${node.state}`;
      if (node.level === "ok") node.level = "stale";
    }
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}

export function number(one: Subject | undefined, key: string): number {
  const text = one?.values.get(key);
  if (text === undefined || text === "" || text === "unknown") return NaN;
  const value = Number(text);
  return Number.isNaN(value) ? NaN : value;
}

/** Counts under `prefix.`, such as rejects by reason, largest first. */
export function counts(one: Subject | undefined, prefix: string): [string, number][] {
  const found: [string, number][] = [];
  for (const [key, value] of one?.values ?? []) {
    if (key.startsWith(`${prefix}.`)) found.push([key.slice(prefix.length + 1), Number(value)]);
  }
  return found.sort((a, b) => b[1] - a[1]);
}

/** Values that are worth a row of their own: histograms and what has its own place are left out. */
export function plainValues(one: Subject): [string, string][] {
  return [...one.values].filter(
    ([key, value]) =>
      value !== "" && !/\.(le\.|sum$|count$)/.test(key) && !key.startsWith("rejected.") && key !== "pid",
  );
}

/** Whether what a sensor watches is watched now. */
export function watching(node: Node | undefined): "seeing" | "quiet" | "blind" {
  if (node === undefined || node.silent || node.state !== "active") return "blind";
  const level = node.input?.level ?? node.level;
  return level === "error" || level === "stale" ? "blind" : level === "warn" ? "quiet" : "seeing";
}
