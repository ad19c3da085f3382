// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The box's health, and its last ten minutes as series for charts. */

import { computed, signal } from "@preact/signals";
import type { DiagnosticArray } from "../generated/messages";
import { nodes, number, subject, type Node, type Subject } from "../core/health";
import { boxNow } from "./clock";

const subjects = new Map<string, Subject>();
const version = signal(0);

/** One sample a second and node: rate, latency, tracks. */
export interface Series {
  times: number[];
  rate: number[];
  median: number[];
  tail: number[];
  age: number[];
  tracks: number[];
}
const SAMPLES = 600;
const series = new Map<string, Series>();

const steady = (): number => performance.now() / 1000;

export function diagnosticsHeard(array: DiagnosticArray): void {
  const now = steady();
  for (const status of array.status) {
    const one = subject(status, now);
    subjects.set(status.name, one);
    if (one.name === "input" || one.name === "tracking") sample(one);
  }
  version.value++;
}

function sample(one: Subject): void {
  let found = series.get(one.node);
  if (found === undefined) {
    found = { times: [], rate: [], median: [], tail: [], age: [], tracks: [] };
    series.set(one.node, found);
  }
  const time = boxNow();
  const last = found.times.at(-1);
  if (last !== undefined && time - last < 0.5) return;
  found.times.push(time);
  found.rate.push(number(one, "rate"));
  found.median.push(number(one, "latency.p50") * 1000);
  found.tail.push(number(one, "latency.p99") * 1000);
  found.age.push(number(one, "age"));
  found.tracks.push(number(one, "tracks.confirmed") + number(one, "tracks.coasting"));
  if (found.times.length > SAMPLES) for (const list of Object.values(found) as number[][]) list.shift();
}

// Silence changes the health too, so it is looked at each second.
setInterval(() => version.value++, 1000);

export const health = computed<Node[]>(() => {
  void version.value;
  return nodes(subjects.values(), steady());
});

/** Nodes that read a sensor. */
export const sensorNodes = computed(() => health.value.filter((node) => node.input !== undefined));

export const sensorNames = (): string[] =>
  [...subjects.values()].filter((s) => s.name === "input" && s.node !== "ownship").map((s) => s.node);

export const seriesOf = (node: string): Series | undefined => series.get(node);

export function healthOf(name: string): Node | undefined {
  return health.value.find((node) => node.name === name);
}
