// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { GimbalStateConstants as G } from "../generated/messages";
import { radians, wrapBearing } from "../core/angles";
import { offAxis } from "../core/geometry";
import { age, angle, angleEntry, bearing } from "../core/format";
import { seconds } from "../core/codec";
import { callsign } from "../core/track";
import { bridge, mayCommand, signature, watchCamera } from "../state/box";
import { isLive, pausedAt, shownTime } from "../state/clock";
import { lockCamera, slew, slewToBearing, stopCamera, stowCamera, zoomCamera } from "../state/commands";
import { imageTick, listed, selected, shownImage } from "../state/picture";
import { preferences } from "../state/preferences";
import { slewToTrack } from "./actions";
import { Icon } from "./icons";

const MODES: Record<number, string> = {
  [G.MODE_RATE]: "free",
  [G.MODE_CAGE]: "caged",
  [G.MODE_STOW]: "stowed",
  [G.MODE_GEO_POINT]: "on a point",
};

/** Paints the newest picture and its boxes; one that comes while another is decoded replaces it. */
function paintVideo(canvas: HTMLCanvasElement, said: (time: number) => void): () => void {
  const ctx = canvas.getContext("2d") as CanvasRenderingContext2D;
  let busy = false;
  let painted: unknown;
  let paintedBoxes: unknown;
  const paint = async (): Promise<void> => {
    const { image, boxes } = shownImage();
    if (busy || image === undefined || (image === painted && boxes === paintedBoxes)) return;
    busy = true;
    try {
      const kind = /png/i.test(image.format) ? "image/png" : "image/jpeg";
      const bitmap = await createImageBitmap(new Blob([image.data as Uint8Array<ArrayBuffer>], { type: kind }));
      if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
      if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
      ctx.drawImage(bitmap, 0, 0);
      bitmap.close();
      const time = seconds(image.header.stamp);
      if (boxes !== undefined && Math.abs(seconds(boxes.header.stamp) - time) < 1) drawBoxes(ctx, boxes);
      painted = image;
      paintedBoxes = boxes;
      said(time);
    } catch (error) {
      console.error("camera picture", error);
      painted = image;
    } finally {
      busy = false;
    }
    const newest = shownImage();
    if (newest.image !== painted) void paint();
  };
  return effect(() => {
    void [imageTick.value, pausedAt.value];
    void paint();
  });
}

function drawBoxes(ctx: CanvasRenderingContext2D, boxes: NonNullable<ReturnType<typeof shownImage>["boxes"]>): void {
  ctx.lineWidth = 2;
  ctx.font = "600 15px 'Inter Variable', sans-serif";
  for (const one of boxes.detections) {
    const { center, size_x: w, size_y: h } = one.bbox;
    const x = center.position.x - w / 2;
    const y = center.position.y - h / 2;
    ctx.strokeStyle = "#ff7a5c";
    ctx.strokeRect(x, y, w, h);
    const best = one.results[0]?.hypothesis;
    if (best === undefined) continue;
    const words = `${best.class_id} ${Math.floor(best.score * 100)} %`;
    ctx.fillStyle = "rgba(8,12,17,0.8)";
    ctx.fillRect(x, y - 22, ctx.measureText(words).width + 10, 20);
    ctx.fillStyle = "#ffd9cf";
    ctx.fillText(words, x + 5, y - 7);
  }
}

/** Whether nothing can be steered from here now. */
const locked = (): boolean => !mayCommand() || !isLive.value || bridge.link.value !== "open";

const MOST_UP = Math.PI / 2;

function lookAt(direction: number, elevation: number): void {
  const to = wrapBearing(direction);
  slewToBearing(bearing(to, preferences.value.units), to, Math.max(-MOST_UP, Math.min(elevation, MOST_UP)));
}

/** Steps of a quarter of the view. */
function Pad() {
  const { gimbal } = listed.value;
  const field = gimbal?.horizontal_field_of_view ?? NaN;
  const step = (Number.isFinite(field) ? field : radians(10)) / 4;
  const move = (across: number, up: number): void => {
    if (gimbal !== undefined) lookAt(gimbal.bearing + across * step, gimbal.elevation + up * step);
  };
  return (
    <div class="pad" role="group" aria-label="Steer by a quarter of the view">
      {(
        [
          ["up", "Look higher", 0, 1],
          ["left", "Look left", -1, 0],
          ["right", "Look right", 1, 0],
          ["down", "Look lower", 0, -1],
        ] as const
      ).map(([icon, label, across, up]) => (
        <button key={icon} type="button" class={icon} disabled={locked() || gimbal === undefined} aria-label={label} title={label} onClick={() => move(across, up)}>
          <Icon name={icon} />
        </button>
      ))}
    </div>
  );
}

function Video() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [time, setTime] = useState(NaN);
  useEffect(() => {
    watchCamera(true);
    const stop = canvas.current === null ? undefined : paintVideo(canvas.current, setTime);
    return () => {
      stop?.();
      watchCamera(false);
    };
  }, []);
  const old = shownTime() - time;
  const { gimbal } = listed.value;
  const { units } = preferences.value;
  const field = gimbal?.horizontal_field_of_view ?? NaN;
  const steerable = !locked() && gimbal !== undefined && Number.isFinite(field);
  /** Look at the point of the picture that was clicked. */
  const lookThere = (event: MouseEvent): void => {
    const box = canvas.current?.getBoundingClientRect();
    if (!steerable || box === undefined) return;
    const [right, up] = offAxis((event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5, field, box.width / box.height);
    lookAt(gimbal.bearing + right, gimbal.elevation + up);
  };
  return (
    <div class={`video ${steerable ? "steerable" : ""}`} title={steerable ? "A click looks there" : ""}>
      <canvas ref={canvas} width={960} height={540} role="img" aria-label="What the camera sees" data-test="video" onClick={lookThere} />
      <svg class="sight" viewBox="-50 -50 100 100" aria-hidden="true">
        <path d="M-22 0H-7M7 0H22M0-22V-7M0 7V22" />
      </svg>
      {Number.isFinite(time) && gimbal !== undefined ? (
        <span class="aim" aria-hidden="true">
          {bearing(gimbal.bearing, units)} · {angle(gimbal.elevation, units)}
        </span>
      ) : null}
      {!Number.isFinite(time) ? <p>No pictures yet. Has the camera a video source (trakka, video.source)?</p> : null}
      {old > 3 ? <p class="late">Picture {age(old)} old</p> : null}
    </div>
  );
}

export function CameraPage() {
  const { gimbal } = listed.value;
  const { units } = preferences.value;
  const [text, setText] = useState("");
  const [tilt, setTilt] = useState("");
  const id = selected.value;
  const track = id === undefined ? undefined : listed.value.byId.get(id);
  const mine = gimbal?.held_by === signature();
  const zoom = gimbal?.zoom_ratio ?? NaN;
  const field = gimbal?.horizontal_field_of_view ?? NaN;
  const entry = angleEntry(units);
  const direction = Number(text) * entry.radians;
  const usable = text.trim() !== "" && Number(text) >= 0 && Number(text) <= entry.turn;
  const tiltUsable = tilt.trim() === "" || Math.abs(Number(tilt)) <= entry.turn / 4;
  // The width of the view where it is known; else the ratio, which needs the driver's field_of_view.
  const zoomBy = (factor: number): void =>
    void (Number.isFinite(field) ? zoomCamera(NaN, Math.min(field / factor, 2.8)) : zoomCamera(Math.max(1, (zoom || 1) * factor), NaN));
  const going = slew.value;
  return (
    <div class="scroll camera">
      <Video />
      <dl class="numbers">
        <div>
          <dt>looks at</dt>
          <dd data-test="camera-bearing">{bearing(gimbal?.bearing ?? NaN, units)}</dd>
        </div>
        <div>
          <dt>elevation</dt>
          <dd>{angle(gimbal?.elevation ?? NaN, units)}</dd>
        </div>
        <div>
          <dt>field of view</dt>
          <dd>{angle(field, units)}</dd>
        </div>
        <div>
          <dt>zoom</dt>
          <dd>{Number.isFinite(zoom) ? `${zoom.toFixed(1)} ×` : "–"}</dd>
        </div>
        <div>
          <dt>mode</dt>
          <dd>
            {MODES[gimbal?.mode ?? 0] ?? "unknown"}
            {gimbal?.slewing ? ", slewing" : gimbal?.following ? ", following" : ""}
          </dd>
        </div>
        <div class="wide">
          <dt>steered by</dt>
          <dd data-test="steered-by">
            {gimbal?.steered_by || "nobody"}
            {gimbal?.held_by ? `; held by ${gimbal.held_by}` : "; automatic cueing allowed"}
          </dd>
        </div>
      </dl>
      {going ? (
        <div class="card going" role="status">
          {going.text}
          {Number.isFinite(going.error) ? `, ${angle(Math.abs(going.error), units)} to go` : "…"}
          <button type="button" onClick={() => going.cancel()}>
            Cancel
          </button>
        </div>
      ) : null}
      <div class="acts">
        <button type="button" class="primary" disabled={locked() || track === undefined} onClick={() => slewToTrack(id)}>
          Slew to {track ? callsign(track.track) : "selected track"}
        </button>
        <button type="button" class="danger" disabled={!mayCommand()} onClick={() => stopCamera()}>
          Stop
        </button>
        <button type="button" disabled={locked()} onClick={() => void stowCamera()}>
          Stow
        </button>
        <button type="button" disabled={locked()} aria-pressed={mine} onClick={() => void lockCamera(!mine)}>
          {mine ? "Give the camera back" : "Take the camera"}
        </button>
      </div>
      <form
        class="acts"
        onSubmit={(event) => {
          event.preventDefault();
          slewToBearing(bearing(direction, units), direction, tilt.trim() === "" ? NaN : Number(tilt) * entry.radians);
        }}
      >
        <label>
          Bearing, {entry.unit}
          <input class="short" inputMode="decimal" name="bearing" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        </label>
        <label>
          Elevation, {entry.unit}
          <input class="short" inputMode="decimal" name="elevation" placeholder="as is" value={tilt} onInput={(e) => setTilt(e.currentTarget.value)} />
        </label>
        <button type="submit" disabled={locked() || !usable || !tiltUsable}>
          Slew to bearing
        </button>
      </form>
      <div class="steer">
        <Pad />
        <div class="acts">
          <button type="button" disabled={locked()} title="Wider view" onClick={() => zoomBy(1 / 1.5)}>
            Zoom −
          </button>
          <button type="button" disabled={locked()} title="Narrower view" onClick={() => zoomBy(1.5)}>
            Zoom +
          </button>
        </div>
        <p class="dim">A click on the picture looks there; right button or long press on the plan slews too.</p>
      </div>
    </div>
  );
}
