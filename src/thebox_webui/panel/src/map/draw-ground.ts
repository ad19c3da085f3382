// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** What does not fly: rings, coverage, zones, the camera's view, the own-ship. */

import { TAU } from "../core/angles";
import { ringStep, sweep } from "../core/geometry";
import { length } from "../core/format";
import { canvasAngle, haloText, toX, toY, type Context, type Projector, type Scene } from "./scene";

const FONT = "11px 'Inter Variable', system-ui, sans-serif";
const STRONG = "600 12px 'Inter Variable', system-ui, sans-serif";

function origin(scene: Scene, p: Projector): [number, number] {
  const east = scene.own?.east ?? 0;
  const north = scene.own?.north ?? 0;
  return [toX(p, east, north), toY(p, east, north)];
}

function sector(ctx: Context, p: Projector, x: number, y: number, from: number, to: number, near: number, far: number): void {
  const angle = sweep(from, to);
  const start = canvasAngle(p, from);
  ctx.beginPath();
  ctx.arc(x, y, far * p.scale, start, start + angle);
  if (angle < TAU) {
    if (near > 0) ctx.arc(x, y, near * p.scale, start + angle, start, true);
    else ctx.lineTo(x, y);
    ctx.closePath();
  } else if (near > 0) {
    ctx.moveTo(x + near * p.scale * Math.cos(start), y + near * p.scale * Math.sin(start));
    ctx.arc(x, y, near * p.scale, start, start - TAU, true);
  }
}

export function drawRings(ctx: Context, p: Projector, scene: Scene): void {
  const [x, y] = origin(scene, p);
  const { ring, ringText, halo } = scene.colours;
  // As many rings as reach the farthest corner, no more.
  const reach = Math.hypot(Math.max(x, p.width - x), Math.max(y, p.height - y)) / p.scale;
  const unit = scene.units.length === "NM" ? 1852 : scene.units.length === "ft" ? 0.3048 : 1;
  const step = ringStep(Math.min(p.width, p.height) / 2 / p.scale / unit) * unit;
  ctx.lineWidth = 1;
  ctx.strokeStyle = ring;
  ctx.beginPath();
  const most = Math.min(Math.ceil(reach / step), 40);
  for (let i = 1; i <= most; i++) {
    const r = i * step * p.scale;
    ctx.moveTo(x + r, y);
    ctx.arc(x, y, r, 0, TAU);
  }
  for (let deg = 0; deg < 360; deg += 30) {
    const angle = canvasAngle(p, (deg * Math.PI) / 180);
    const from = (deg % 90 === 0 ? 0.25 : 0.75) * step * p.scale;
    const to = most * step * p.scale;
    ctx.moveTo(x + from * Math.cos(angle), y + from * Math.sin(angle));
    ctx.lineTo(x + to * Math.cos(angle), y + to * Math.sin(angle));
  }
  ctx.stroke();
  ctx.font = FONT;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const up = canvasAngle(p, Math.PI / 4);
  for (let i = 1; i <= most; i++) {
    const r = i * step * p.scale;
    haloText(ctx, length(i * step, scene.units), x + r * Math.cos(up), y + r * Math.sin(up), ringText, halo);
  }
}

/** Bearings around the edge of the view. */
export function drawCompass(ctx: Context, p: Projector, scene: Scene): void {
  const [x, y] = origin(scene, p);
  const { ringText, text, halo } = scene.colours;
  const radius = Math.min(p.width, p.height) / 2 - 16;
  if (x < 0 || y < 0 || x > p.width || y > p.height) return;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (let deg = 0; deg < 360; deg += 30) {
    const angle = canvasAngle(p, (deg * Math.PI) / 180);
    const name = deg % 90 === 0 ? ("NESW"[deg / 90] as string) : String(deg).padStart(3, "0");
    ctx.font = deg % 90 === 0 ? STRONG : FONT;
    const px = x + radius * Math.cos(angle);
    const py = y + radius * Math.sin(angle);
    if (px < 8 || py < 8 || px > p.width - 8 || py > p.height - 8) continue;
    haloText(ctx, name, px, py, deg % 90 === 0 ? text : ringText, halo);
  }
}

/** Sectors that sensors watch: bright while they see, faded when quiet, dashed when blind. */
export function drawCoverage(ctx: Context, p: Projector, scene: Scene): void {
  const [x, y] = origin(scene, p);
  ctx.font = FONT;
  scene.watched.forEach(({ coverage, sight }, index) => {
    const colour = scene.colours.modality[coverage.modality] ?? scene.colours.blind;
    const far = Number.isFinite(coverage.range_max) ? coverage.range_max : 5000;
    sector(ctx, p, x, y, coverage.bearing_start, coverage.bearing_end, Math.max(coverage.range_min, 0) || 0, far);
    const seen = sight === "seeing" ? 1 : sight === "quiet" ? 0.45 : 0;
    if (seen > 0) {
      ctx.globalAlpha = 0.014 * seen;
      ctx.fillStyle = colour;
      ctx.fill("evenodd");
    }
    ctx.globalAlpha = sight === "blind" ? 0.9 : 0.25 + 0.35 * seen;
    ctx.strokeStyle = sight === "blind" ? scene.colours.blind : colour;
    ctx.lineWidth = sight === "blind" ? 1 : 1.25;
    ctx.setLineDash(sight === "blind" ? [3, 7] : []);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = sight === "blind" ? 1 : 0.5 + 0.5 * seen;
    const width = sweep(coverage.bearing_start, coverage.bearing_end);
    const at = canvasAngle(p, width === TAU ? 0.22 + index * 0.42 : coverage.bearing_start + width / 2);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    const words = sight === "blind" ? `${coverage.sensor} · blind` : sight === "quiet" ? `${coverage.sensor} · quiet` : coverage.sensor;
    // Quiet or blind must be seen at any zoom: where the edge is out of view, the name stays inside.
    const reach = Math.min(far * p.scale, Math.max(Math.min(p.width, p.height) / 2 - 40, 60));
    haloText(
      ctx,
      words,
      x + reach * Math.cos(at),
      y + reach * Math.sin(at),
      sight === "blind" ? scene.colours.blind : colour,
      scene.colours.halo,
    );
    ctx.globalAlpha = 1;
  });
}

export function drawZones(ctx: Context, p: Projector, scene: Scene): void {
  ctx.font = STRONG;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const zone of scene.zones) {
    const { points } = zone.outline;
    if (points.length < 3) continue;
    const colour = zone.alert_on_entry ? scene.colours.zoneAlert : scene.colours.zone;
    // The name hangs under the outline's top: in the middle there is the own-ship, often.
    let cx = 0;
    let top = Infinity;
    ctx.beginPath();
    points.forEach((point, index) => {
      const x = toX(p, point.x, point.y);
      const y = toY(p, point.x, point.y);
      cx += x / points.length;
      top = Math.min(top, y);
      if (index === 0) ctx.moveTo(x, y);
      else ctx.lineTo(x, y);
    });
    ctx.closePath();
    ctx.globalAlpha = 0.08;
    ctx.fillStyle = colour;
    ctx.fill();
    ctx.globalAlpha = 0.9;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.setLineDash([8, 4]);
    ctx.stroke();
    ctx.setLineDash([]);
    haloText(ctx, zone.name || "zone", cx, Math.max(top, 0) + 14, colour, scene.colours.halo);
    ctx.globalAlpha = 1;
  }
}

const FOV_UNKNOWN = 0.1;
const FOV_REACH = 2000;

/** Where the camera looks; dashed edges while its field of view is not known. */
export function drawCamera(ctx: Context, p: Projector, scene: Scene): void {
  const gimbal = scene.gimbal;
  if (gimbal === undefined || !Number.isFinite(gimbal.bearing)) return;
  const [x, y] = origin(scene, p);
  const known = Number.isFinite(gimbal.horizontal_field_of_view);
  const half = (known ? gimbal.horizontal_field_of_view : FOV_UNKNOWN) / 2;
  sector(ctx, p, x, y, gimbal.bearing - half, gimbal.bearing + half, 0, FOV_REACH);
  ctx.fillStyle = scene.colours.camera;
  ctx.strokeStyle = scene.colours.camera;
  ctx.globalAlpha = 0.12;
  ctx.fill();
  ctx.globalAlpha = 0.8;
  ctx.lineWidth = 1;
  ctx.setLineDash(known ? [] : [4, 4]);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

export function drawOwnShip(ctx: Context, p: Projector, scene: Scene): void {
  const own = scene.own;
  if (own === undefined) return;
  const [x, y] = origin(scene, p);
  const angle = canvasAngle(p, Number.isFinite(own.heading) ? own.heading : 0);
  ctx.strokeStyle = scene.colours.own;
  ctx.fillStyle = scene.colours.ground;
  if (Number.isFinite(own.heading)) {
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.7;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + 64 * Math.cos(angle), y + 64 * Math.sin(angle));
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  if (own.speed > 0.5) {
    const course = canvasAngle(p, own.course);
    const ahead = Math.min(own.speed * 60 * p.scale, 200);
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + ahead * Math.cos(course), y + ahead * Math.sin(course));
    ctx.stroke();
    ctx.setLineDash([]);
  }
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(angle + Math.PI / 2);
  ctx.lineWidth = 1.75;
  ctx.beginPath();
  ctx.moveTo(0, -13);
  ctx.quadraticCurveTo(6.5, -5, 6, 10);
  ctx.lineTo(-6, 10);
  ctx.quadraticCurveTo(-6.5, -5, 0, -13);
  ctx.closePath();
  ctx.fill();
  ctx.stroke();
  ctx.restore();
}
