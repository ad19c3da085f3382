// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { Plan } from "../map/plan";
import { palette } from "../map/palette";
import { DETECTION_AGE } from "../map/draw-detections";
import type { Scene, Watched } from "../map/scene";
import { bearingOf } from "../core/angles";
import { seconds } from "../core/codec";
import { bearing, length } from "../core/format";
import { watching } from "../core/health";
import { callsign, type Shown } from "../core/track";
import { mayCommand } from "../state/box";
import { boxNow, isLive, pausedAt, shownTime } from "../state/clock";
import { slewToBearing } from "../state/commands";
import { healthOf } from "../state/health";
import { coverages, listed, oldestTime, revision, selected, shownDetections, shownImage, shownPicture, zones } from "../state/picture";
import { prefer, preferences, type Layers } from "../state/preferences";
import { slewToTrack } from "./actions";
import { Icon } from "./icons";
import { LayersMenu } from "./LayersMenu";
import { drawingZone, drawnZone, following, layersOpen } from "./navigation";

/** What keys may do to the map. */
export const mapCommands = {
  zoom: (_factor: number): void => undefined,
  finishZone: (): void => undefined,
};

let scene: Scene | undefined;

/** The tracks that are to be drawn; the selected one always is. */
function drawn(tracks: readonly Shown[], layers: Layers, chosen: string | undefined): readonly Shown[] {
  if (layers.tentative && layers.others) return tracks;
  return tracks.filter((one) => one.id === chosen || ((layers.tentative || one.state !== "tentative") && (layers.others || one.kind === "sought")));
}

/** The scene of this frame; made once a frame and shared by its layers. */
function makeScene(): Scene {
  const { theme, layers, trailSeconds, units, hiddenSensors } = preferences.peek();
  const picture = shownPicture();
  const hidden = new Set(hiddenSensors);
  const live = isLive.peek();
  const chosen = selected.peek();
  const watched: Watched[] = [];
  for (const [name, coverage] of coverages.peek()) {
    if (!hidden.has(name)) watched.push({ coverage, sight: watching(healthOf(name)) });
  }
  return {
    time: shownTime(),
    live,
    tracks: drawn(picture.tracks, layers, chosen),
    own: picture.own,
    gimbal: picture.gimbal,
    detections: layers.detections ? shownDetections(DETECTION_AGE).filter((one) => !hidden.has(one.sensor)) : [],
    watched,
    zones: zones.peek(),
    selected: chosen,
    layers,
    trailSeconds,
    units,
    colours: palette(theme),
  };
}

/** Pixels that the fastest track moves before a frame is worth painting. */
const WORTH = 0.5;

function follow(plan: Plan, current: Scene): void {
  const own = current.own;
  const rotation = preferences.peek().headUp && own !== undefined && Number.isFinite(own.heading) ? -own.heading : 0;
  if (following.peek()) plan.centre(own?.east ?? 0, own?.north ?? 0, rotation);
  else plan.rotate(rotation);
}

/** Paint when something changed: a message, a choice, or tracks that have moved half a pixel. */
function paintLoop(plan: Plan): () => void {
  let frame = 0;
  let seen = -1;
  let wish = true;
  let painted = 0;
  const stop = effect(() => {
    void [preferences.value, selected.value, zones.value, coverages.value, pausedAt.value, following.value, drawingZone.value];
    wish = true;
  });
  const each = (now: number): void => {
    frame = requestAnimationFrame(each);
    let due = wish || revision.any !== seen;
    if (!due && isLive.peek()) {
      const fastest = (scene?.tracks ?? []).reduce((most, one) => (one.fixed ? Math.max(most, one.speed) : most), 0);
      due = (fastest * (now - painted)) / 1000 / plan.resolution > WORTH;
    }
    if (!due) return;
    wish = false;
    seen = revision.any;
    painted = now;
    scene = makeScene();
    follow(plan, scene);
    plan.paint();
  };
  frame = requestAnimationFrame(each);
  return () => {
    cancelAnimationFrame(frame);
    stop();
  };
}

interface Menu {
  x: number;
  y: number;
  east: number;
  north: number;
  id: string | undefined;
}

export function PlanView() {
  const target = useRef<HTMLDivElement>(null);
  const held = useRef<Plan | null>(null);
  const [menu, setMenu] = useState<Menu>();
  const [pointer, setPointer] = useState<{ east: number; north: number; id: string | undefined }>();
  useEffect(() => {
    const element = target.current;
    if (element === null) return undefined;
    const plan = new Plan(element, {
      scene: () => (scene ??= makeScene()),
      picked: (id) => {
        setMenu(undefined);
        selected.value = id;
      },
      menu: setMenu,
      hovered: setPointer,
      dragged: () => {
        setMenu(undefined);
        following.value = false;
      },
      zoneDrawn: (corners) => {
        drawingZone.value = false;
        drawnZone.value = corners;
      },
    });
    held.current = plan;
    mapCommands.zoom = (factor) => plan.zoom(factor);
    mapCommands.finishZone = () => plan.finishZone();
    // For the tests and the benchmark: where a place is on the screen, and how often it is painted.
    (window as unknown as { thebox: unknown }).thebox = {
      plan,
      picture: shownPicture,
      /** Time of the camera's picture that is shown. */
      imageTime: () => {
        const { image } = shownImage();
        return image === undefined ? NaN : seconds(image.header.stamp);
      },
      /** How many boxes the camera's picture carries. */
      boxes: () => shownImage().boxes?.detections.length ?? 0,
      /** Seconds that can be looked back. */
      kept: () => boxNow() - oldestTime(),
      /** After the next frame: what was chosen is painted. */
      settled: () => new Promise<boolean>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))),
      pixelOf: (id: string) => {
        const one = shownPicture().byId.get(id);
        return one === undefined ? undefined : plan.pixel(one.track.position.x, one.track.position.y);
      },
    };
    const stop = paintLoop(plan);
    const stopDrawing = effect(() => plan.drawZone(drawingZone.value));
    const stopClearing = effect(() => {
      if (drawnZone.value === undefined) plan.clearZone();
    });
    return () => {
      stop();
      stopDrawing();
      stopClearing();
      plan.close();
    };
  }, []);
  const { headUp } = preferences.value;
  return (
    <main class="plan" aria-label="Plan view">
      <div ref={target} class="map" data-test="map" tabIndex={0} role="application" aria-label="Picture around the own-ship" />
      <div class="map-tools" role="toolbar" aria-label="Picture">
        <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => mapCommands.zoom(1.5)}>
          <Icon name="plus" />
        </button>
        <button type="button" title="Zoom out (-)" aria-label="Zoom out" onClick={() => mapCommands.zoom(1 / 1.5)}>
          <Icon name="minus" />
        </button>
        <button
          type="button"
          title="Centre on the own-ship (O)"
          aria-label="Centre on the own-ship"
          aria-pressed={following.value}
          onClick={() => {
            following.value = true;
          }}
        >
          <Icon name="centre" />
        </button>
        <button
          type="button"
          title="North-up or head-up (N)"
          aria-label={headUp ? "Head-up; change to north-up" : "North-up; change to head-up"}
          aria-pressed={headUp}
          onClick={() => prefer({ headUp: !headUp })}
        >
          <Icon name="north" />
          <small>{headUp ? "HEAD" : "NORTH"}</small>
        </button>
        <button
          type="button"
          title="What is shown"
          aria-label="What is shown"
          aria-expanded={layersOpen.value}
          onClick={() => {
            layersOpen.value = !layersOpen.value;
          }}
        >
          <Icon name="layers" />
        </button>
      </div>
      {layersOpen.value ? <LayersMenu /> : null}
      {!isLive.value ? <div class="past-mark">Not live</div> : null}
      {drawingZone.value ? (
        <div class="map-hint" role="status">
          Set the corners; double-click or “Close outline” ends it.
          <button type="button" onClick={() => mapCommands.finishZone()}>
            Close outline
          </button>
          <button
            type="button"
            onClick={() => {
              drawingZone.value = false;
            }}
          >
            Cancel
          </button>
        </div>
      ) : null}
      <Readout pointer={pointer} />
      {menu ? <PlaceMenu menu={menu} close={() => setMenu(undefined)} /> : null}
    </main>
  );
}

function Readout({ pointer }: { pointer: { east: number; north: number; id: string | undefined } | undefined }) {
  const { units } = preferences.value;
  if (pointer === undefined) return null;
  const own = listed.value.own;
  const east = pointer.east - (own?.east ?? 0);
  const north = pointer.north - (own?.north ?? 0);
  const one = pointer.id === undefined ? undefined : listed.value.byId.get(pointer.id);
  return (
    <div class="readout">
      {bearing(bearingOf(east, north), units)} · {length(Math.hypot(east, north), units)}
      {one ? ` · ${callsign(one.track)}` : ""}
    </div>
  );
}

function PlaceMenu({ menu, close }: { menu: Menu; close: () => void }) {
  const { units } = preferences.value;
  const own = listed.value.own;
  const direction = bearingOf(menu.east - (own?.east ?? 0), menu.north - (own?.north ?? 0));
  const one = menu.id === undefined ? undefined : listed.value.byId.get(menu.id);
  const disabled = !mayCommand();
  const act = (call: () => void) => () => {
    close();
    call();
  };
  return (
    <div class="menu" role="menu" style={{ left: `${menu.x}px`, top: `${menu.y}px` }}>
      {one ? (
        <button type="button" role="menuitem" disabled={disabled} onClick={act(() => slewToTrack(one.id))}>
          Slew camera to {callsign(one.track)}
        </button>
      ) : null}
      <button
        type="button"
        role="menuitem"
        disabled={disabled}
        onClick={act(() => slewToBearing(bearing(direction, units), direction, NaN))}
      >
        Slew camera to {bearing(direction, units)}
      </button>
      {disabled ? <p class="dim">A viewer cannot steer.</p> : null}
    </div>
  );
}
