// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The plan view: OpenLayers for moving about and drawing zones, Canvas 2D layers for the picture. */

import OlMap from "ol/Map";
import View from "ol/View";
import Layer from "ol/layer/Layer";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Projection from "ol/proj/Projection";
import Draw from "ol/interaction/Draw";
import Polygon from "ol/geom/Polygon";
import type { FrameState } from "ol/Map";
import { defaults as interactions } from "ol/interaction/defaults";
import { trails } from "../state/picture";
import { drawCamera, drawCompass, drawCoverage, drawOwnShip, drawRings, drawZones } from "./draw-ground";
import { drawDetections } from "./draw-detections";
import { drawTracks, drawTrails } from "./draw-tracks";
import { toPlace, trackAt } from "./hit";
import type { Context, Projector, Scene } from "./scene";

/** Local ENU, metres: the box's map frame. */
const ENU = new Projection({ code: "ENU", units: "m", extent: [-1e6, -1e6, 1e6, 1e6] });
const CLOSEST = 0.05;
const FARTHEST = 200;
/** Metres a pixel at the start: about 1.5 km around. */
const START = 4;

const SKETCH = {
  "fill-color": "rgba(86,180,245,0.08)",
  "stroke-color": "#56b4f5",
  "stroke-width": 2,
  "circle-radius": 5,
  "circle-fill-color": "#56b4f5",
};

class Sheet {
  readonly layer: Layer;
  private readonly canvas = document.createElement("canvas");
  private readonly ctx: Context;

  constructor(paint: (ctx: Context, p: Projector) => void, zIndex: number) {
    this.canvas.className = "sheet";
    this.ctx = this.canvas.getContext("2d") as Context;
    this.layer = new Layer({
      zIndex,
      render: (frame: FrameState) => {
        this.fit(frame);
        paint(this.ctx, projector(frame));
        return this.canvas;
      },
    });
  }

  private fit(frame: FrameState): void {
    const [width = 0, height = 0] = frame.size;
    const ratio = frame.pixelRatio;
    const w = Math.round(width * ratio);
    const h = Math.round(height * ratio);
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.ctx.clearRect(0, 0, width, height);
  }
}

function projector(frame: FrameState): Projector {
  const [a = 1, b = 0, c = 0, d = -1, tx = 0, ty = 0] = frame.coordinateToPixelTransform;
  return {
    a,
    b,
    c,
    d,
    tx,
    ty,
    scale: 1 / frame.viewState.resolution,
    north: frame.viewState.rotation,
    width: frame.size[0] ?? 0,
    height: frame.size[1] ?? 0,
  };
}

export interface PlanEvents {
  scene: () => Scene;
  /** A track was pointed at; undefined: empty sky. */
  picked: (id: string | undefined) => void;
  /** Right button or long press: on a track, or at a place. */
  menu: (at: { x: number; y: number; east: number; north: number; id: string | undefined }) => void;
  hovered: (at: { east: number; north: number; id: string | undefined } | undefined) => void;
  /** The operator moved the view away from the own-ship. */
  dragged: () => void;
  zoneDrawn: (corners: [number, number][]) => void;
}

export class Plan {
  readonly map: OlMap;
  private readonly view: View;
  private readonly zoneSource = new VectorSource();
  private last: Projector | undefined;
  private drawing: Draw | undefined;
  private closedAt = -Infinity;
  /** Frames painted, for the benchmark. */
  frames = 0;
  /** Milliseconds that the last frame's painting took. */
  paintTime = 0;

  constructor(
    target: HTMLElement,
    private readonly on: PlanEvents,
  ) {
    this.view = new View({
      projection: ENU,
      center: [0, 0],
      resolution: START,
      minResolution: CLOSEST,
      maxResolution: FARTHEST,
      constrainRotation: false,
      smoothResolutionConstraint: false,
    });
    const ground = new Sheet((ctx, p) => this.paintGround(ctx, p), 0);
    const sky = new Sheet((ctx, p) => this.paintSky(ctx, p), 1);
    this.map = new OlMap({
      target,
      view: this.view,
      controls: [],
      interactions: interactions({ altShiftDragRotate: false, pinchRotate: false, doubleClickZoom: false, keyboard: false }),
      layers: [ground.layer, sky.layer, new VectorLayer({ source: this.zoneSource, style: SKETCH, zIndex: 2 })],
    });
    this.listen(target);
  }

  /** Paint now. */
  paint(): void {
    this.map.renderSync();
  }

  centre(east: number, north: number, rotation: number): void {
    // Setting anything ends OpenLayers' animations: a zoom would never get beyond its first frame.
    if (this.view.getAnimating()) return;
    const [x, y] = this.view.getCenter() ?? [];
    if (x !== east || y !== north) this.view.setCenter([east, north]);
    this.rotate(rotation);
  }

  rotate(rotation: number): void {
    if (!this.view.getAnimating() && this.view.getRotation() !== rotation) this.view.setRotation(rotation);
  }

  zoom(factor: number): void {
    this.view.animate({ resolution: (this.view.getResolution() ?? START) / factor, duration: 150 });
  }

  /** Show a square of `radius` metres around the centre. */
  reach(radius: number): void {
    const [width = 800, height = 600] = this.map.getSize() ?? [];
    this.view.setResolution((2 * radius) / Math.min(width, height));
  }

  get resolution(): number {
    return this.view.getResolution() ?? START;
  }

  /** Pixel of a place, for tests and menus. */
  pixel(east: number, north: number): [number, number] | undefined {
    const p = this.last;
    if (p === undefined) return undefined;
    return [p.a * east + p.c * north + p.tx, p.b * east + p.d * north + p.ty];
  }

  /** Begin or end the drawing of a zone. */
  drawZone(on: boolean): void {
    if (this.drawing !== undefined) this.map.removeInteraction(this.drawing);
    this.drawing = undefined;
    if (!on) return;
    this.zoneSource.clear();
    this.drawing = new Draw({ source: this.zoneSource, type: "Polygon", style: SKETCH });
    this.drawing.on("drawend", (event) => {
      const ring = (event.feature.getGeometry() as Polygon).getCoordinates()[0] ?? [];
      // The click that closes the outline is not meant for a track under it.
      this.closedAt = performance.now();
      this.on.zoneDrawn(ring.slice(0, -1).map(([east = 0, north = 0]) => [east, north]));
    });
    this.map.addInteraction(this.drawing);
  }

  /** Forget the outline that was drawn: it is stored, or discarded. */
  clearZone(): void {
    this.zoneSource.clear();
  }

  /** Close the outline that is being drawn. */
  finishZone(): void {
    this.drawing?.finishDrawing();
  }

  close(): void {
    this.map.setTarget(undefined);
    this.map.dispose();
  }

  private listen(target: HTMLElement): void {
    this.map.on("pointerdrag", () => this.on.dragged());
    this.map.on("click", (event) => {
      if (this.drawing !== undefined || performance.now() - this.closedAt < 500) return;
      const [x = 0, y = 0] = event.pixel;
      this.on.picked(this.at(x, y, event.originalEvent)?.id);
    });
    this.map.on("pointermove", (event) => {
      if (event.dragging) return;
      const [x = 0, y = 0] = event.pixel;
      const p = this.last;
      if (p === undefined) return;
      const [east, north] = toPlace(p, x, y);
      const id = this.at(x, y, undefined)?.id;
      target.style.cursor = this.drawing !== undefined ? "crosshair" : id === undefined ? "" : "pointer";
      this.on.hovered({ east, north, id });
    });
    target.addEventListener("pointerleave", () => this.on.hovered(undefined));
    target.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      const box = target.getBoundingClientRect();
      const x = event.clientX - box.left;
      const y = event.clientY - box.top;
      const p = this.last;
      if (p === undefined || this.drawing !== undefined) return;
      const [east, north] = toPlace(p, x, y);
      this.on.menu({ x, y, east, north, id: this.at(x, y, event)?.id });
    });
  }

  private at(x: number, y: number, event: unknown): { id: string } | undefined {
    if (this.last === undefined) return undefined;
    const touch = (event as PointerEvent | undefined)?.pointerType === "touch";
    return trackAt(this.last, this.on.scene(), x, y, touch ? 26 : 14);
  }

  private paintGround(ctx: Context, p: Projector): void {
    const scene = this.on.scene();
    const { layers } = scene;
    if (layers.coverage) drawCoverage(ctx, p, scene);
    if (layers.rings) drawRings(ctx, p, scene);
    if (layers.zones) drawZones(ctx, p, scene);
    if (layers.rings) drawCompass(ctx, p, scene);
  }

  private paintSky(ctx: Context, p: Projector): void {
    const began = performance.now();
    const scene = this.on.scene();
    const { layers } = scene;
    this.last = p;
    if (layers.camera) drawCamera(ctx, p, scene);
    if (layers.detections) drawDetections(ctx, p, scene);
    if (layers.trails) drawTrails(ctx, p, scene, trails);
    drawOwnShip(ctx, p, scene);
    drawTracks(ctx, p, scene);
    this.frames++;
    this.paintTime = performance.now() - began;
  }
}
