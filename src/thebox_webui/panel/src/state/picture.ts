// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The picture: what is live, what is kept of the last minutes, and what is shown. */

import { computed, signal } from "@preact/signals";
import type {
  CompressedImage,
  Detection,
  Detection2DArray,
  GimbalState,
  Odometry,
  SensorCoverage,
  TrackArray,
  Zone,
  ZoneArray,
} from "../generated/messages";
import { headingOf } from "../core/angles";
import { decode, seconds } from "../core/codec";
import { History } from "../core/history";
import { Trails } from "../core/trails";
import { show, type Shown } from "../core/track";
import type { Received } from "../bridge/bridge";
import { boxNow, heardStamp, oldest, onRestart, pausedAt, SPAN } from "./clock";

export interface OwnShip {
  time: number;
  east: number;
  north: number;
  up: number;
  heading: number;
  speed: number;
  course: number;
}

export interface Picture {
  time: number;
  tracks: Shown[];
  byId: Map<string, Shown>;
  own: OwnShip | undefined;
  gimbal: GimbalState | undefined;
}

/** Raw bytes of a message, or the message itself where the bridge sent values. */
type Kept<T> = Uint8Array | T;

const MEGABYTE = 1e6;
const trackHistory = new History<Kept<TrackArray>>(SPAN, 128 * MEGABYTE, 0.4);
const ownHistory = new History<OwnShip>(SPAN, Infinity, 0.4);
const gimbalHistory = new History<GimbalState>(SPAN, Infinity, 0.4);
const imageHistory = new History<CompressedImage>(SPAN, 48 * MEGABYTE, 0.9);
const boxHistory = new History<Detection2DArray>(SPAN, Infinity, 0.4);
const detectionHistory = new History<Detection>(SPAN, 64 * MEGABYTE);
/** Bytes that one decoded detection takes, about. */
const DETECTION_BYTES = 1200;

export const trails = new Trails(SPAN);

const EMPTY: Picture = { time: NaN, tracks: [], byId: new Map(), own: undefined, gimbal: undefined };
let live: Picture = EMPTY;
let liveImage: CompressedImage | undefined;
let liveBoxes: Detection2DArray | undefined;
const recent: Detection[] = [];

/** Grows with every change of the live picture; not a signal: the map asks at each frame. */
export const revision = { tracks: 0, any: 0 };
/** Grows at most four times a second, for lists. */
export const pictureTick = signal(0);
export const imageTick = signal(0);

export const coverages = signal<ReadonlyMap<string, SensorCoverage>>(new Map());
export const zones = signal<readonly Zone[]>([]);
export const selected = signal<string | undefined>(undefined);

let pending = false;
function changed(): void {
  revision.any++;
  if (pending) return;
  pending = true;
  setTimeout(() => {
    pending = false;
    pictureTick.value++;
  }, 250);
}

function pictureOf(array: TrackArray, own: OwnShip | undefined, gimbal: GimbalState | undefined): Picture {
  const tracks = array.tracks.map(show);
  return {
    time: seconds(array.header.stamp),
    tracks,
    byId: new Map(tracks.map((one) => [one.id, one])),
    own,
    gimbal,
  };
}

export function tracksHeard(array: TrackArray, received: Received): void {
  const time = seconds(array.header.stamp);
  heardStamp(time);
  live = pictureOf(array, live.own, live.gimbal);
  for (const { id, track, fixed } of live.tracks) {
    if (fixed) trails.add(id, time, track.position.x, track.position.y);
  }
  trackHistory.add(time, received.bytes ?? array, received.size);
  revision.tracks++;
  changed();
}

export function ownShipHeard(message: Odometry): void {
  const { position, orientation } = message.pose.pose;
  const { linear } = message.twist.twist;
  const heading = headingOf(orientation);
  // The twist is in the bow's frame: x ahead, y to port.
  const course = heading - Math.atan2(linear.y, linear.x);
  const time = seconds(message.header.stamp);
  heardStamp(time);
  const own = {
    time,
    east: position.x,
    north: position.y,
    up: position.z,
    heading,
    speed: Math.hypot(linear.x, linear.y),
    course,
  };
  live = { ...live, own };
  ownHistory.add(time, own);
  changed();
}

export function gimbalHeard(gimbal: GimbalState): void {
  live = { ...live, gimbal };
  gimbalHistory.add(seconds(gimbal.header.stamp), gimbal);
  changed();
}

export function detectionHeard(detection: Detection): void {
  const time = seconds(detection.header.stamp);
  detectionHistory.add(time, detection, DETECTION_BYTES);
  recent.push(detection);
  const now = boxNow();
  while (recent.length > 4000 || (recent[0] !== undefined && seconds(recent[0].received) < now - 30)) recent.shift();
  changed();
}

export function coverageHeard(coverage: SensorCoverage): void {
  coverages.value = new Map(coverages.value).set(coverage.sensor, coverage);
  changed();
}

export function zonesHeard(array: ZoneArray): void {
  zones.value = array.zones;
  changed();
}

export function imageHeard(image: CompressedImage): void {
  liveImage = image;
  imageHistory.add(seconds(image.header.stamp), image, image.data.byteLength);
  imageTick.value++;
}

export function boxesHeard(boxes: Detection2DArray): void {
  liveBoxes = boxes;
  boxHistory.add(seconds(boxes.header.stamp), boxes);
  imageTick.value++;
}

let cached: { kept: Kept<TrackArray>; picture: Picture } | undefined;

/** The picture of a time gone by, from what was kept. */
function past(time: number): Picture {
  const kept = trackHistory.at(time);
  const own = ownHistory.at(time);
  const gimbal = gimbalHistory.at(time);
  if (kept === undefined) return { ...EMPTY, time, own, gimbal };
  if (cached?.kept !== kept) {
    const array =
      kept instanceof Uint8Array ? decode<TrackArray>("thebox_interfaces/TrackArray", kept) : kept;
    cached = { kept, picture: pictureOf(array, own, gimbal) };
  }
  return { ...cached.picture, own, gimbal };
}

/** The picture that is shown: live, or of the time scrubbed to. */
export function shownPicture(): Picture {
  const at = pausedAt.value;
  return at === undefined ? live : past(at);
}

/** Detections of the last `age` seconds before the shown time, by when they were received. */
export function shownDetections(age: number): Detection[] {
  const at = pausedAt.value;
  if (at !== undefined) return detectionHistory.between(at - age, at);
  const since = boxNow() - age;
  let from = recent.length;
  while (from > 0 && seconds((recent[from - 1] as Detection).received) >= since) from--;
  return recent.slice(from);
}

export function shownImage(): { image: CompressedImage | undefined; boxes: Detection2DArray | undefined } {
  const at = pausedAt.value;
  if (at === undefined) return { image: liveImage, boxes: liveBoxes };
  return { image: imageHistory.at(at), boxes: boxHistory.at(at) };
}

/** For lists: the shown picture, renewed at most four times a second. */
export const listed = computed(() => {
  void pictureTick.value;
  void pausedAt.value;
  return shownPicture();
});

/** The oldest time that can be shown. */
export const oldestTime = (): number => Math.max(trackHistory.oldest, boxNow() - SPAN);

export const kept = (): { frames: number; bytes: number } => ({
  frames: trackHistory.length,
  bytes: trackHistory.bytes + imageHistory.bytes + detectionHistory.bytes,
});

/** Forget everything: after a jump of time, or at the end of a session. */
export function forget(): void {
  for (const history of [trackHistory, ownHistory, gimbalHistory, imageHistory, boxHistory, detectionHistory]) {
    history.clear();
  }
  trails.clear();
  recent.length = 0;
  live = EMPTY;
  cached = undefined;
  liveImage = undefined;
  liveBoxes = undefined;
  pausedAt.value = undefined;
  changed();
}

oldest.time = oldestTime;
onRestart(forget);
setInterval(() => trails.prune(boxNow()), 10_000);
