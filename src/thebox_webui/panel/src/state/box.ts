// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The box: connection, session, and everything that is heard from it. */

import { effect, signal } from "@preact/signals";
import { Bridge } from "../bridge/bridge";
import { bridgeUrl, config as getConfig, session as getSession, type Config, type Session } from "../bridge/session";
import type {
  CompressedImage,
  Detection,
  Detection2DArray,
  DiagnosticArray,
  Event,
  GimbalState,
  Odometry,
  SensorCoverage,
  TrackArray,
  ZoneArray,
} from "../generated/messages";
import { seconds } from "../core/codec";
import { heardStamp } from "./clock";
import { eventHeard, loadEvents } from "./events";
import { diagnosticsHeard, sensorNames } from "./health";
import { toast } from "./notices";
import {
  boxesHeard,
  coverageHeard,
  detectionHeard,
  gimbalHeard,
  imageHeard,
  ownShipHeard,
  tracksHeard,
  zonesHeard,
} from "./picture";

export const bridge = new Bridge();
/** undefined: not known yet; null: a login is needed. */
export const session = signal<Session | null | undefined>(undefined);
export const config = signal<Config | undefined>(undefined);
export const serverFault = signal("");

/** Whether this console may command. */
export const mayCommand = (): boolean => session.value?.role === "operator";
/** How commands are signed. */
export const signature = (): string => `operator:${session.value?.user || "panel"}`;

/** Full name of a topic or service of the box. */
export const named = (name: string): string =>
  name.startsWith("/") ? name : `${config.value?.namespace ?? "/thebox"}/${name}`;

const I = "thebox_interfaces";
const sensors = new Set<string>();
let listening = false;

function listen(): void {
  if (listening) return;
  listening = true;
  bridge.subscribe<TrackArray>(named("tracks"), `${I}/TrackArray`, tracksHeard);
  bridge.subscribe<Odometry>(named("ownship/odometry"), "nav_msgs/Odometry", ownShipHeard, { throttle: 100 });
  bridge.subscribe<GimbalState>(named("camera/gimbal_state"), `${I}/GimbalState`, gimbalHeard, { throttle: 100 });
  bridge.subscribe<Event>(named("events"), `${I}/Event`, (event) => eventHeard(event, true), { queue: 100 });
  bridge.subscribe<ZoneArray>(named("zones"), `${I}/ZoneArray`, zonesHeard);
  bridge.subscribe<DiagnosticArray>("/diagnostics", "diagnostic_msgs/DiagnosticArray", heardHealth, { queue: 100 });
  for (const sensor of ["vision"]) listenToSensor(sensor);
}

function heardHealth(array: DiagnosticArray): void {
  heardStamp(seconds(array.header.stamp));
  diagnosticsHeard(array);
  for (const name of sensorNames()) listenToSensor(name);
}

function listenToSensor(name: string): void {
  if (sensors.has(name)) return;
  sensors.add(name);
  bridge.subscribe<Detection>(named(`detections/${name}`), `${I}/Detection`, detectionHeard, { queue: 200 });
  bridge.subscribe<SensorCoverage>(named(`coverage/${name}`), `${I}/SensorCoverage`, coverageHeard);
}

let stopCamera: (() => void)[] = [];

/** Pictures are asked for only while somebody looks at them. */
export function watchCamera(on: boolean): void {
  for (const stop of stopCamera) stop();
  stopCamera = [];
  if (!on) return;
  stopCamera = [
    bridge.subscribe<CompressedImage>(
      named("camera/image_raw/compressed"),
      "sensor_msgs/CompressedImage",
      imageHeard,
      { throttle: 66 },
    ),
    bridge.subscribe<Detection2DArray>(named("camera/detections"), "vision_msgs/Detection2DArray", boxesHeard),
  ];
}

/** Ask the server who we are, then connect; asked again until the server answers. */
export async function start(): Promise<void> {
  try {
    const found = await getSession();
    serverFault.value = "";
    session.value = found ?? null;
    if (found === undefined) return;
    config.value = await getConfig();
    listen();
    bridge.connect(bridgeUrl(config.value.bridge));
  } catch (error) {
    serverFault.value = error instanceof Error ? error.message : String(error);
    setTimeout(() => void start(), 2000);
  }
}

bridge.onComplaint = (text) => toast("warn", text);

let before = "";
effect(() => {
  const link = bridge.link.value;
  if (link === "open" && before !== "open") void loadEvents();
  // A lost line may be a lost session: the server then answers 401 and the login page shows.
  if (link === "lost" && before !== "lost" && session.peek()) void recheck();
  before = link;
});

async function recheck(): Promise<void> {
  try {
    const found = await getSession();
    if (found === undefined) {
      bridge.close();
      session.value = null;
    } else {
      session.value = found;
    }
  } catch {
    // The server is away as well; the bridge keeps trying.
  }
}
