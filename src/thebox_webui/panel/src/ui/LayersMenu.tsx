// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { coverages } from "../state/picture";
import { prefer, preferences, toggleLayer, toggleSensor, type Layers } from "../state/preferences";
import { sensorNodes } from "../state/health";
import { modalityName, palette } from "../map/palette";

const NAMES: readonly [keyof Layers, string][] = [
  ["rings", "Range rings, bearings"],
  ["coverage", "Sensor coverage"],
  ["detections", "Raw detections"],
  ["trails", "Trails"],
  ["velocity", "Velocity (10 s ahead)"],
  ["ellipses", "Uncertainty (2 σ)"],
  ["labels", "Labels"],
  ["tentative", "Tentative tracks"],
  ["others", "Birds, boats and other known things"],
  ["camera", "Camera's field of view"],
  ["zones", "Zones"],
];

export function LayersMenu() {
  const { layers, hiddenSensors, trailSeconds, theme } = preferences.value;
  const sensors = sensorNodes.value.filter((node) => node.name !== "ownship");
  return (
    <div class="layers" role="group" aria-label="What is shown">
      {NAMES.map(([name, label]) => (
        <label key={name} class="check">
          <input type="checkbox" checked={layers[name]} onChange={() => toggleLayer(name)} />
          {label}
        </label>
      ))}
      <label class="row">
        Trail length
        <select value={String(trailSeconds)} onChange={(e) => prefer({ trailSeconds: Number(e.currentTarget.value) })}>
          <option value="15">15 s</option>
          <option value="60">1 min</option>
          <option value="180">3 min</option>
          <option value="600">10 min</option>
        </select>
      </label>
      <h3>Sensors</h3>
      {sensors.map(({ name }) => {
        const modality = coverages.value.get(name)?.modality ?? 0;
        return (
          <label key={name} class="check">
            <input type="checkbox" checked={!hiddenSensors.includes(name)} onChange={() => toggleSensor(name)} />
            <i class="swatch" style={{ background: palette(theme).modality[modality] }} />
            {name} <span class="dim">{modality ? modalityName[modality] : "several kinds"}</span>
          </label>
        );
      })}
    </div>
  );
}
