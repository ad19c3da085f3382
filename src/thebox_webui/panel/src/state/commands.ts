// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Everything that an operator can have the box do. Each says what came of it. */

import { signal } from "@preact/signals";
import { SlewToResultConstants as O, type GetTrackEvidenceResponse, type SetZonesResponse, type SlewToFeedback, type SlewToResult, type Zone, type Evidence } from "../generated/messages";
import { uuidBytes } from "../core/codec";
import { form, type Descriptor, type Field, type ParameterValue } from "../core/parameters";
import { bridge, mayCommand, named, signature } from "./box";
import { toast } from "./notices";

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

interface Answer {
  success: boolean;
  message: string;
}

/** Call a service that answers success and message; a notice says what came of it. */
async function command(what: string, service: string, type: string, request: object): Promise<boolean> {
  if (!mayCommand()) {
    toast("warn", `${what}: a viewer cannot command; log in as an operator`);
    return false;
  }
  try {
    const answer = await bridge.call<Answer>(named(service), type, request);
    toast(answer.success ? "ok" : "error", answer.success ? what : `${what}: ${answer.message || "refused"}`);
    return answer.success;
  } catch (error) {
    toast("error", `${what}: ${reasonOf(error)}`);
    return false;
  }
}

// Life cycle -----------------------------------------------------------------------------------

/** lifecycle_msgs/Transition. */
const TRANSITIONS = { configure: 1, cleanup: 2, activate: 3, deactivate: 4 } as const;
export type Transition = keyof typeof TRANSITIONS;

async function change(node: string, transition: Transition): Promise<void> {
  const answer = await bridge.call<{ success: boolean }>(named(`${node}/change_state`), "lifecycle_msgs/ChangeState", {
    transition: { id: TRANSITIONS[transition], label: "" },
  });
  if (!answer.success) throw new Error(`the node did not ${transition}; its diagnostics say why`);
}

async function stateOf(node: string): Promise<string> {
  const answer = await bridge.call<{ current_state: { label: string } }>(
    named(`${node}/get_state`),
    "lifecycle_msgs/GetState",
    {},
  );
  return answer.current_state.label;
}

/** Nodes with a transition under way. */
export const busyNodes = signal<ReadonlySet<string>>(new Set());

async function lifeCycle(node: string, what: string, steps: (state: string) => Transition[]): Promise<void> {
  if (!mayCommand()) return;
  busyNodes.value = new Set(busyNodes.value).add(node);
  try {
    for (const transition of steps(await stateOf(node))) await change(node, transition);
    toast("ok", `${node}: ${what}`);
  } catch (error) {
    toast("error", `${node}: not ${what}: ${reasonOf(error)}`);
  } finally {
    const left = new Set(busyNodes.value);
    left.delete(node);
    busyNodes.value = left;
  }
}

export const activate = (node: string): Promise<void> =>
  lifeCycle(node, "activated", (state) =>
    state === "active" ? [] : state === "inactive" ? ["activate"] : ["configure", "activate"],
  );
export const deactivate = (node: string): Promise<void> =>
  lifeCycle(node, "deactivated", (state) => (state === "active" ? ["deactivate"] : []));
export const restart = (node: string): Promise<void> =>
  lifeCycle(node, "restarted", (state) => [
    ...(state === "active" ? (["deactivate", "cleanup"] as const) : state === "inactive" ? (["cleanup"] as const) : []),
    "configure",
    "activate",
  ]);

// Settings -------------------------------------------------------------------------------------

/** The parameters of a node as a form. @throws Error with the reason. */
export async function settingsOf(node: string): Promise<Field[]> {
  const { result } = await bridge.call<{ result: { names: string[] } }>(
    named(`${node}/list_parameters`),
    "rcl_interfaces/ListParameters",
    { prefixes: [], depth: 0 },
  );
  const names = result.names.filter((name) => !name.startsWith("qos_overrides."));
  const [described, got] = await Promise.all([
    bridge.call<{ descriptors: Descriptor[] }>(named(`${node}/describe_parameters`), "rcl_interfaces/DescribeParameters", { names }),
    bridge.call<{ values: ParameterValue[] }>(named(`${node}/get_parameters`), "rcl_interfaces/GetParameters", { names }),
  ]);
  return form(described.descriptors, got.values);
}

/** Set several at once, all or none. @returns why it was refused; empty when it was not. */
export async function setSettings(node: string, values: Record<string, ParameterValue>): Promise<string> {
  try {
    const { result } = await bridge.call<{ result: { successful: boolean; reason: string } }>(
      named(`${node}/set_parameters_atomically`),
      "rcl_interfaces/SetParametersAtomically",
      { parameters: Object.entries(values).map(([name, value]) => ({ name, value })) },
    );
    return result.successful ? "" : result.reason || "refused without a reason";
  } catch (error) {
    return reasonOf(error);
  }
}

// Camera ---------------------------------------------------------------------------------------

export interface Slew {
  text: string;
  /** Angle still to go, radians; NaN when not known. */
  error: number;
  cancel: () => void;
}
export const slew = signal<Slew | undefined>(undefined);

const OUTCOMES: Record<number, string> = {
  [O.OUTCOME_SETTLED]: "settled",
  [O.OUTCOME_TIMEOUT]: "not reached in time",
  [O.OUTCOME_CANCELLED]: "cancelled",
  [O.OUTCOME_PREEMPTED]: "another slew took over",
  [O.OUTCOME_DISCONNECTED]: "the camera is not connected",
  [O.OUTCOME_REFUSED]: "refused",
};

function sendSlew(what: string, target: object): void {
  if (!mayCommand()) {
    toast("warn", "A viewer cannot steer the camera");
    return;
  }
  let over = false;
  const end = (level: "ok" | "warn" | "error", text: string): void => {
    over = true;
    if (slew.value?.text === what) slew.value = undefined;
    toast(level, text);
  };
  const cancel = bridge.sendGoal<SlewToFeedback, SlewToResult>(
    named("trakka/slew_to"),
    "thebox_interfaces/SlewTo",
    { bearing: NaN, elevation: NaN, point: { x: NaN, y: NaN, z: NaN }, ...target, tolerance: NaN, timeout: NaN, requested_by: signature() },
    {
      feedback: (feedback) => {
        if (!over) slew.value = { text: what, error: feedback.error, cancel };
      },
      result: (result) => {
        const settled = result.outcome === O.OUTCOME_SETTLED;
        const words = OUTCOMES[result.outcome] ?? "ended";
        const more = result.message && result.message !== words ? `, ${result.message}` : "";
        end(settled ? "ok" : "warn", `${what}: ${words}${more}`);
      },
      failed: (reason) => {
        // A goal that was not reached: bridges give its result as JSON behind their own words.
        const outcome = Number(/"outcome":\s*(\d+)/.exec(reason)?.[1] ?? 0);
        const told = /"message":\s*"([^"]*)"/.exec(reason)?.[1] ?? "";
        const words = OUTCOMES[outcome];
        if (words === undefined) end("error", `${what}: ${reason}`);
        else end("warn", `${what}: ${words}${told && told !== words ? `, ${told}` : ""}`);
      },
    },
  );
  if (!over) slew.value = { text: what, error: NaN, cancel };
}

export const slewToPoint = (what: string, point: { x: number; y: number; z: number }): void =>
  sendSlew(`Slew to ${what}`, { point });
export const slewToBearing = (what: string, bearing: number, elevation: number): void =>
  sendSlew(`Slew to ${what}`, { bearing, elevation });

export function stopCamera(): void {
  slew.value?.cancel();
  void command("Camera stopped", "trakka/set_gimbal_mode", "thebox_interfaces/SetGimbalMode", { mode: 1, requested_by: signature() });
}

export const stowCamera = (): Promise<boolean> =>
  command("Camera stowed", "trakka/set_gimbal_mode", "thebox_interfaces/SetGimbalMode", { mode: 3, requested_by: signature() });

export const zoomCamera = (ratio: number, fieldOfView: number): Promise<boolean> =>
  command("Zoom set", "trakka/set_zoom", "thebox_interfaces/SetZoom", {
    horizontal_field_of_view: fieldOfView,
    zoom_ratio: ratio,
    sensor: 0,
    requested_by: signature(),
  });

export const lockCamera = (locked: boolean): Promise<boolean> =>
  command(locked ? "You hold the camera" : "Camera given back", "trakka/set_camera_lock", "thebox_interfaces/SetCameraLock", {
    locked,
    requested_by: signature(),
  });

// Tracks and zones -----------------------------------------------------------------------------

/** Newest last. @throws Error with the reason. */
export async function evidenceOf(track: string): Promise<Evidence[]> {
  const answer = await bridge.call<GetTrackEvidenceResponse>(
    named("fusion/get_track_evidence"),
    "thebox_interfaces/GetTrackEvidence",
    { track_id: { uuid: uuidBytes(track) }, limit: 40 },
  );
  if (!answer.success) throw new Error(answer.message);
  return answer.entries;
}

/** Replace the zones. The box answers with them on the zones topic too. */
export async function setZones(what: string, zones: readonly Zone[]): Promise<boolean> {
  if (!mayCommand()) return false;
  try {
    const answer = await bridge.call<SetZonesResponse>(named("dronedb/set_zones"), "thebox_interfaces/SetZones", { zones });
    toast(answer.success ? "ok" : "error", answer.success ? what : `${what}: ${answer.message}`);
    return answer.success;
  } catch (error) {
    toast("error", `${what}: ${reasonOf(error)}`);
    return false;
  }
}
