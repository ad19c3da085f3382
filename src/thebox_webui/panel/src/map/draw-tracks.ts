// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Tracks: trails, ellipses, wedges, symbols, velocities, labels. */

import { TrackConstants as C } from "../generated/messages";
import { seconds } from "../core/codec";
import { TAU } from "../core/angles";
import { ellipse, wedge, sweep } from "../core/geometry";
import { length, percent, speed } from "../core/format";
import { callsign, identity, type Shown } from "../core/track";
import { Trails } from "../core/trails";
import { trackColour } from "./palette";
import { canvasAngle, haloText, placeOf, toX, toY, type Context, type Projector, type Scene } from "./scene";

const FONT = "12px 'Inter Variable', system-ui, sans-serif";
const STRONG = "600 12px 'Inter Variable', system-ui, sans-serif";
/** Velocity lines reach where the track will be after so long, seconds. */
const AHEAD = 10;

export function drawTrails(ctx: Context, p: Projector, scene: Scene, trails: Trails): void {
  ctx.lineWidth = 1.25;
  ctx.lineJoin = "round";
  for (const shown of scene.tracks) {
    const trail = trails.get(shown.id);
    if (trail === undefined) continue;
    const [from, to] = Trails.range(trail, scene.time - scene.trailSeconds, scene.time);
    if (to - from < 2) continue;
    ctx.strokeStyle = trackColour(scene.colours, shown.state, shown.kind);
    // Two strokes a trail: its older half is fainter. One stroke a segment costs twenty times that.
    const middle = (from + to) >> 1;
    for (const [start, end, alpha] of [
      [from, middle + 1, 0.22],
      [middle, to, 0.55],
    ] as const) {
      if (end - start < 2) continue;
      ctx.globalAlpha = shown.id === scene.selected ? Math.min(1, alpha + 0.35) : alpha;
      ctx.beginPath();
      for (let i = start; i < end; i++) {
        const east = trail.east[i] as number;
        const north = trail.north[i] as number;
        if (i === start) ctx.moveTo(toX(p, east, north), toY(p, east, north));
        else ctx.lineTo(toX(p, east, north), toY(p, east, north));
      }
      ctx.stroke();
    }
  }
  ctx.globalAlpha = 1;
}

/** A track without a measured range: the sector that it may be in, brighter along its bearing. */
function drawWedge(ctx: Context, p: Projector, scene: Scene, shown: Shown, strong: boolean): void {
  const { track } = shown;
  const shape = wedge(track.bearing, track.bearing_std, track.range, track.range_std);
  if (shape === undefined) return;
  const x = toX(p, scene.own?.east ?? 0, scene.own?.north ?? 0);
  const y = toY(p, scene.own?.east ?? 0, scene.own?.north ?? 0);
  const start = canvasAngle(p, shape.from);
  const end = start + sweep(shape.from, shape.to);
  const near = Math.max(shape.near * p.scale, 18);
  const far = Math.max(shape.far * p.scale, near + 12);
  const colour = trackColour(scene.colours, shown.state, shown.kind);
  ctx.beginPath();
  ctx.arc(x, y, far, start, end);
  ctx.arc(x, y, near, end, start, true);
  ctx.closePath();
  // Fill only what is believed: dozens of tentative bearings would wash the picture out.
  const fill = strong ? 0.18 : shown.state === "confirmed" ? 0.08 : shown.state === "coasting" ? 0.03 : 0;
  const edge = strong ? 1 : shown.state === "confirmed" ? 0.6 : shown.state === "coasting" ? 0.35 : 0.15;
  if (fill > 0) {
    // A wide sector says little: it must not drown what lies in it.
    ctx.globalAlpha = fill * Math.min(1, 0.5 / sweep(shape.from, shape.to));
    ctx.fillStyle = colour;
    ctx.fill();
  }
  ctx.globalAlpha = edge;
  ctx.strokeStyle = strong ? scene.colours.select : colour;
  ctx.lineWidth = strong ? 1.5 : 1;
  ctx.setLineDash(shown.state === "coasting" ? [6, 4] : []);
  ctx.stroke();
  ctx.setLineDash([2, 5]);
  const along = canvasAngle(p, track.bearing);
  ctx.beginPath();
  ctx.moveTo(x + near * Math.cos(along), y + near * Math.sin(along));
  ctx.lineTo(x + far * Math.cos(along), y + far * Math.sin(along));
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** One shape a class, so that it reads without colour. */
function symbol(ctx: Context, kind: number, x: number, y: number, r: number): void {
  ctx.beginPath();
  switch (kind) {
    case C.CLASS_DRONE:
      ctx.moveTo(x, y - r);
      ctx.lineTo(x + r, y);
      ctx.lineTo(x, y + r);
      ctx.lineTo(x - r, y);
      ctx.closePath();
      break;
    case C.CLASS_BIRD:
      ctx.moveTo(x - r, y - r * 0.5);
      ctx.lineTo(x, y + r * 0.6);
      ctx.lineTo(x + r, y - r * 0.5);
      break;
    case C.CLASS_AIRPLANE:
    case C.CLASS_HELICOPTER:
      ctx.moveTo(x, y - r);
      ctx.lineTo(x + r, y + r * 0.8);
      ctx.lineTo(x - r, y + r * 0.8);
      ctx.closePath();
      break;
    case C.CLASS_BOAT:
    case C.CLASS_VEHICLE:
    case C.CLASS_PERSON:
      ctx.rect(x - r * 0.8, y - r * 0.8, r * 1.6, r * 1.6);
      break;
    default:
      ctx.arc(x, y, r * 0.8, 0, TAU);
  }
}

function drawFixed(ctx: Context, p: Projector, scene: Scene, shown: Shown, x: number, y: number, strong: boolean): void {
  const { track, state } = shown;
  const colour = trackColour(scene.colours, state, shown.kind);
  if (scene.layers.ellipses && (state !== "tentative" || strong)) {
    const shape = ellipse(track.covariance);
    if (shape !== undefined && shape.major * p.scale > 5) {
      ctx.globalAlpha = strong ? 0.95 : 0.35;
      ctx.strokeStyle = strong ? scene.colours.select : colour;
      ctx.lineWidth = 1;
      ctx.beginPath();
      ctx.ellipse(x, y, shape.major * p.scale, shape.minor * p.scale, canvasAngle(p, shape.bearing), 0, TAU);
      ctx.stroke();
    }
  }
  ctx.globalAlpha = state === "tentative" && !strong ? 0.6 : 1;
  ctx.strokeStyle = colour;
  if (scene.layers.velocity && shown.speed > 0.5) {
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    ctx.moveTo(x, y);
    const east = track.velocity.x * AHEAD;
    const north = track.velocity.y * AHEAD;
    ctx.lineTo(x + p.a * east + p.c * north, y + p.b * east + p.d * north);
    ctx.stroke();
  }
  const r = state === "tentative" ? 4 : 6;
  symbol(ctx, track.object_class, x, y, r);
  ctx.lineWidth = 1.75;
  ctx.fillStyle = state === "confirmed" ? colour : scene.colours.ground;
  if (track.object_class !== C.CLASS_BIRD) ctx.fill();
  ctx.stroke();
  ctx.globalAlpha = 1;
}

interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

const meets = (a: Box, b: Box): boolean => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

interface Placed {
  shown: Shown;
  x: number;
  y: number;
  strong: boolean;
}

/** Labels beside their tracks, the important first; one that finds no room is left out. */
function drawLabels(ctx: Context, scene: Scene, placed: readonly Placed[], p: Projector): void {
  const height = 28;
  const own = [toX(p, scene.own?.east ?? 0, scene.own?.north ?? 0), toY(p, scene.own?.east ?? 0, scene.own?.north ?? 0)] as const;
  // Nothing is written over the own-ship, nor under the buttons.
  const taken: Box[] = [
    { x: own[0] - 16, y: own[1] - 16, w: 32, h: 32 },
    { x: p.width - 62, y: 8, w: 62, h: 244 },
  ];
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  for (const { shown, x, y, strong } of placed) {
    const { track } = shown;
    if (x < -50 || y < -50 || x > p.width + 50 || y > p.height + 50) continue;
    const head = `${callsign(track)} ${identity(track)}`;
    const parts = [percent(track.confidence)];
    if (shown.fixed) {
      parts.push(length(track.range, scene.units));
      if (shown.speed > 0.5) parts.push(speed(shown.speed, scene.units));
    } else {
      parts.push("bearing only");
    }
    const tail = parts.join(" · ");
    const w = Math.max(head.length, tail.length) * 6.6 + 4;
    const spots = [
      { x: x + 11, y: y - 8 },
      { x: x - 11 - w, y: y - 8 },
      { x: x + 11, y: y - 34 },
      { x: x + 11, y: y + 10 },
    ];
    const boxes = spots.map((s) => ({ ...s, w, h: height })).filter((box) => !taken.some((other) => meets(box, other)));
    // Rather on another side than cut off by the edge of the view.
    const spot = boxes.find((one) => one.x > 2 && one.x + w < p.width - 2 && one.y > 2 && one.y + height < p.height - 2) ?? boxes[0];
    if (spot === undefined && !strong) continue;
    const box = spot ?? { x: x + 11, y: y - 8, w, h: height };
    taken.push(box);
    ctx.font = STRONG;
    const right = box.x < x;
    ctx.textAlign = right ? "right" : "left";
    const tx = right ? box.x + w : box.x;
    haloText(ctx, head, tx, box.y + 11, strong ? scene.colours.select : trackColour(scene.colours, shown.state, shown.kind), scene.colours.halo);
    ctx.font = FONT;
    haloText(ctx, tail, tx, box.y + 25, scene.colours.faint, scene.colours.halo);
  }
}

const ORDER = { confirmed: 0, coasting: 1, tentative: 2, unknown: 3 } as const;

/** What matters most comes first: painted last, named first. */
const rank = ({ state, kind }: Shown): number => ORDER[state] + (kind === "other" ? 4 : 0);

/** Where a wedge's label stands: on its bearing, three fifths of the way that is in view. */
function wedgeAnchor(p: Projector, scene: Scene, shown: Shown): [number, number] {
  const { track } = shown;
  const shape = wedge(track.bearing, track.bearing_std, track.range, track.range_std);
  const x = toX(p, scene.own?.east ?? 0, scene.own?.north ?? 0);
  const y = toY(p, scene.own?.east ?? 0, scene.own?.north ?? 0);
  const along = canvasAngle(p, track.bearing);
  const far = Math.min((shape?.far ?? 0) * p.scale, Math.min(p.width, p.height) * 0.42);
  return [x + far * 0.8 * Math.cos(along), y + far * 0.8 * Math.sin(along)];
}

export function drawTracks(ctx: Context, p: Projector, scene: Scene): void {
  const placed: Placed[] = [];
  const order = [...scene.tracks].sort((a, b) => rank(b) - rank(a));
  for (const shown of order) {
    const strong = shown.id === scene.selected;
    if (shown.fixed) {
      const [east, north] = placeOf(shown, scene.time, seconds(shown.track.header.stamp));
      const x = toX(p, east, north);
      const y = toY(p, east, north);
      if (x > -400 && y > -400 && x < p.width + 400 && y < p.height + 400) {
        drawFixed(ctx, p, scene, shown, x, y, strong);
      }
      if (strong) drawReticle(ctx, scene, x, y);
      placed.push({ shown, x, y, strong });
    } else {
      drawWedge(ctx, p, scene, shown, strong);
      const [x, y] = wedgeAnchor(p, scene, shown);
      placed.push({ shown, x, y, strong });
    }
  }
  if (!scene.layers.labels) return;
  const named = placed.filter(({ shown, strong }) => strong || shown.state !== "tentative");
  named.sort((a, b) => Number(b.strong) - Number(a.strong) || rank(a.shown) - rank(b.shown) || b.shown.track.confidence - a.shown.track.confidence);
  drawLabels(ctx, scene, named, p);
}

function drawReticle(ctx: Context, scene: Scene, x: number, y: number): void {
  const r = 14;
  const gap = 6;
  ctx.strokeStyle = scene.colours.select;
  ctx.lineWidth = 1.75;
  ctx.beginPath();
  for (const [sx, sy] of [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ] as const) {
    ctx.moveTo(x + sx * r, y + sy * (r - gap));
    ctx.lineTo(x + sx * r, y + sy * r);
    ctx.lineTo(x + sx * (r - gap), y + sy * r);
  }
  ctx.stroke();
}
