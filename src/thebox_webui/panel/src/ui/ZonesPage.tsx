// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import type { Zone } from "../generated/messages";
import { crossesItself } from "../core/geometry";
import { heightEntry, length } from "../core/format";
import { mayCommand } from "../state/box";
import { setZones } from "../state/commands";
import { zones } from "../state/picture";
import { preferences } from "../state/preferences";
import { drawingZone, drawnZone } from "./navigation";

function area(zone: Zone): number {
  const { points } = zone.outline;
  let twice = 0;
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length] ?? a;
    twice += a.x * b.y - b.x * a.y;
  });
  return Math.abs(twice) / 2;
}

function ZoneForm({ corners }: { corners: [number, number][] }) {
  const [name, setName] = useState(`Zone ${zones.value.length + 1}`);
  const [alert, setAlert] = useState(true);
  const [low, setLow] = useState("");
  const [high, setHigh] = useState("");
  const [busy, setBusy] = useState(false);
  const entry = heightEntry(preferences.value.units);
  const height = (text: string): number => (text.trim() === "" ? NaN : Number(text) * entry.metres);
  const fault =
    corners.length < 3
      ? "A zone needs three corners: draw it again."
      : crossesItself(corners)
        ? "The outline crosses itself: draw it again."
        : name.trim() === ""
          ? "Give it a name."
          : [low, high].some((text) => text.trim() !== "" && !Number.isFinite(Number(text)))
            ? "Heights are numbers, or empty."
            : height(low) >= height(high)
              ? "The lower limit is above the upper one."
              : "";
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const zone: Zone = {
      id: "",
      name: name.trim(),
      outline: { points: corners.map(([x, y]) => ({ x, y, z: 0 })) },
      height_min: height(low),
      height_max: height(high),
      alert_on_entry: alert,
    };
    if (await setZones(`${zone.name} stored`, [...zones.value, zone])) drawnZone.value = undefined;
    setBusy(false);
  };
  return (
    <form class="card zone-form" onSubmit={(event) => void save(event)}>
      <h2>New zone, {corners.length} corners</h2>
      <label>
        Name
        <input value={name} maxLength={60} onInput={(e) => setName(e.currentTarget.value)} />
      </label>
      <div class="two">
        <label>
          From height, {entry.unit}
          <input inputMode="decimal" value={low} placeholder="any" onInput={(e) => setLow(e.currentTarget.value)} />
        </label>
        <label>
          To height, {entry.unit}
          <input inputMode="decimal" value={high} placeholder="any" onInput={(e) => setHigh(e.currentTarget.value)} />
        </label>
      </div>
      <label class="check">
        <input type="checkbox" checked={alert} onChange={() => setAlert(!alert)} />
        Alert when a confirmed track enters
      </label>
      {fault ? (
        <p class="fault" role="alert">
          {fault}
        </p>
      ) : null}
      <div class="acts">
        <button type="submit" class="primary" disabled={fault !== "" || busy || !mayCommand()}>
          Store zone
        </button>
        <button
          type="button"
          onClick={() => {
            drawnZone.value = undefined;
          }}
        >
          Discard
        </button>
      </div>
    </form>
  );
}

export function ZonesPage() {
  const { units } = preferences.value;
  const locked = !mayCommand();
  const change = (zone: Zone, with_: Partial<Zone>): void =>
    void setZones(
      `${zone.name} changed`,
      zones.value.map((one) => (one.id === zone.id ? { ...one, ...with_ } : one)),
    );
  const remove = (zone: Zone): void =>
    void setZones(
      `${zone.name} removed`,
      zones.value.filter((one) => one.id !== zone.id),
    );
  return (
    <div class="scroll cards">
      <button
        type="button"
        class="primary"
        disabled={locked || drawingZone.value}
        onClick={() => {
          drawnZone.value = undefined;
          drawingZone.value = true;
        }}
      >
        Draw a zone
      </button>
      {drawnZone.value ? <ZoneForm corners={drawnZone.value} /> : null}
      {zones.value.length === 0 && !drawnZone.value ? (
        <p class="empty">No zones. Draw one on the picture; the box can raise an alert when a track enters it.</p>
      ) : null}
      {zones.value.map((zone) => (
        <article key={zone.id} class="card" data-zone={zone.name}>
          <header>
            <h2>{zone.name}</h2>
            <span class="dim">{(area(zone) / 1e6).toFixed(3)} km²</span>
            <div class="spring" />
            <button type="button" disabled={locked} onClick={() => remove(zone)}>
              Remove
            </button>
          </header>
          <label class="check">
            <input type="checkbox" checked={zone.alert_on_entry} disabled={locked} onChange={() => change(zone, { alert_on_entry: !zone.alert_on_entry })} />
            Alert when a track enters
          </label>
          <p class="dim">
            {Number.isFinite(zone.height_min) || Number.isFinite(zone.height_max)
              ? `Height from ${Number.isFinite(zone.height_min) ? length(zone.height_min, units) : "any"} to ${Number.isFinite(zone.height_max) ? length(zone.height_max, units) : "any"}`
              : "At any height"}
          </p>
        </article>
      ))}
    </div>
  );
}
