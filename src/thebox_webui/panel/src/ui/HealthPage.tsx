// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { bridge } from "../state/box";
import { tick } from "../state/clock";
import { health, sensorNodes, seriesOf } from "../state/health";
import { kept } from "../state/picture";
import { preferences } from "../state/preferences";
import { palette } from "../map/palette";
import { coverages } from "../state/picture";
import { bytes } from "../core/format";
import { Chart } from "./Chart";

export function HealthPage() {
  void tick.value;
  const colours = palette(preferences.value.theme);
  const first = colours.modality[1] as string;
  const second = colours.states.confirmed;
  const fusion = seriesOf("fusion");
  const memory = kept();
  return (
    <div class="scroll health" role="region" aria-label="Health" tabIndex={0}>
      <table class="list nodes" aria-label="Nodes">
        <tbody>
          {health.value.map((node) => (
            <tr key={node.name} class={`level-${node.level}`}>
              <td>
                <i class="lamp" title={node.level} />
                <b>{node.name}</b>
              </td>
              <td class="dim">{node.state}</td>
              <td>{node.message}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {fusion ? (
        <>
          <Chart title="Tracks confirmed or coasting" unit="" times={fusion.times} lines={[{ label: "tracks", colour: second, values: fusion.tracks }]} />
          <Chart
            title="Datagram to track"
            unit="ms"
            times={fusion.times}
            lines={[
              { label: "50 %", colour: first, values: fusion.median },
              { label: "99 %", colour: second, values: fusion.tail },
            ]}
          />
        </>
      ) : null}
      {sensorNodes.value.map(({ name }) => {
        const series = seriesOf(name);
        if (series === undefined) return null;
        const colour = (colours.modality[coverages.value.get(name)?.modality ?? 0] ?? first) as string;
        return (
          <div key={name} class="pair">
            <Chart title={`${name}: rate`} unit="/s" times={series.times} lines={[{ label: "rate", colour, values: series.rate }]} height={72} />
            <Chart
              title="latency"
              unit="ms"
              times={series.times}
              lines={[
                { label: "50", colour, values: series.median },
                { label: "99", colour: colours.blind, values: series.tail },
              ]}
              height={72}
            />
          </div>
        );
      })}
      <p class="dim">
        This console: {bridge.traffic.messages.toLocaleString("en")} messages, {bytes(bridge.traffic.bytes)} received; {memory.frames} pictures,{" "}
        {bytes(memory.bytes)} kept for looking back.
      </p>
    </div>
  );
}
