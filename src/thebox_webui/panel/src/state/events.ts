// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Events and alerts: the log of this console, in step with the box and with all other consoles. */

import { computed, signal } from "@preact/signals";
import { EventConstants as E, type AcknowledgeEventsResponse, type Event, type QueryEventsResponse } from "../generated/messages";
import { seconds, uuidText } from "../core/codec";
import { chime } from "../core/sound";
import { boxNow, SPAN } from "./clock";
import { bridge, mayCommand, named, signature } from "./box";
import { toast } from "./notices";
import { preferences } from "./preferences";

export interface Entry {
  id: string;
  time: number;
  severity: "info" | "warning" | "alert";
  kind: string;
  source: string;
  text: string;
  track: string;
  acknowledged: boolean;
  by: string;
}

const MOST = 2000;
const SEVERITIES = { [E.SEVERITY_INFO]: "info", [E.SEVERITY_WARNING]: "warning", [E.SEVERITY_ALERT]: "alert" } as const;

const log = signal<ReadonlyMap<string, Entry>>(new Map());

/** Newest first. */
export const events = computed(() => [...log.value.values()].sort((a, b) => b.time - a.time));
export const openAlerts = computed(() => events.value.filter((e) => e.severity === "alert" && !e.acknowledged));

function entry(event: Event): Entry {
  return {
    id: event.id,
    time: seconds(event.stamp),
    severity: SEVERITIES[event.severity as keyof typeof SEVERITIES] ?? "info",
    kind: event.kind,
    source: event.source,
    text: event.text,
    track: uuidText(event.track_id.uuid),
    acknowledged: event.acknowledged,
    by: event.acknowledged_by,
  };
}

/** Take an event into the log; one that comes again replaces itself (acknowledged elsewhere). */
export function eventHeard(event: Event, fresh: boolean): void {
  const one = entry(event);
  const known = log.value.get(one.id);
  const next = new Map(log.value).set(one.id, known?.acknowledged === true ? { ...one, acknowledged: true, by: known.by } : one);
  if (next.size > MOST) {
    const oldest = [...next.values()].sort((a, b) => a.time - b.time)[0];
    if (oldest !== undefined) next.delete(oldest.id);
  }
  log.value = next;
  if (fresh && known === undefined && one.severity === "alert" && !one.acknowledged && preferences.value.sound && !chime()) {
    toast("warn", "An alert could not sound: click anywhere on this page once, then the browser lets it");
  }
}

/** What happened before this console looked, from the box's log. */
export async function loadEvents(): Promise<void> {
  const now = Number.isFinite(boxNow()) ? boxNow() : Date.now() / 1000;
  const stamp = (t: number): { sec: number; nanosec: number } => ({ sec: Math.max(0, Math.floor(t)), nanosec: 0 });
  try {
    const answer = await bridge.call<QueryEventsResponse>(named("dronedb/query_events"), "thebox_interfaces/QueryEvents", {
      start: stamp(now - 6 * SPAN),
      end: stamp(0),
      kinds: [],
      severity_min: 0,
      unacknowledged_only: false,
      page_size: 500,
      cursor: "",
    });
    for (const event of answer.events) eventHeard(event, false);
  } catch {
    // Without a database the log begins now; its absence shows on the health page.
  }
}

/** Acknowledge for all consoles. */
export async function acknowledge(ids: readonly string[]): Promise<void> {
  if (!mayCommand() || ids.length === 0) return;
  try {
    const answer = await bridge.call<AcknowledgeEventsResponse>(
      named("dronedb/acknowledge_events"),
      "thebox_interfaces/AcknowledgeEvents",
      { event_ids: ids, acknowledged_by: signature() },
    );
    if (!answer.success) toast("error", `Not acknowledged: ${answer.message}`);
  } catch (error) {
    toast("error", `Not acknowledged: ${error instanceof Error ? error.message : String(error)}`);
  }
}
