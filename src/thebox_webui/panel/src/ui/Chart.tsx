// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { preferences } from "../state/preferences";

export interface Line {
  label: string;
  colour: string;
  values: readonly number[];
}

const AXIS = { dark: ["#8fa0b3", "rgba(148,170,196,0.14)"], light: ["#526171", "rgba(40,60,84,0.14)"] } as const;

/** A small chart over the last ten minutes. */
export function Chart({ title, unit, times, lines, height = 92 }: { title: string; unit: string; times: readonly number[]; lines: readonly Line[]; height?: number }) {
  const target = useRef<HTMLDivElement>(null);
  const held = useRef<uPlot | null>(null);
  const { theme, units } = preferences.value;
  const utc = units.time === "utc";
  const count = lines.length;
  useEffect(() => {
    const element = target.current;
    if (element === null) return undefined;
    const [stroke, grid] = AXIS[theme];
    const axis = { stroke, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "10px 'Inter Variable', sans-serif" };
    const plot = new uPlot(
      {
        width: Math.max(element.clientWidth, 100),
        height,
        legend: { show: false },
        cursor: { y: false, points: { show: false } },
        padding: [6, 8, 0, 0],
        scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max(max * 1.15, 0.001)] } },
        axes: [
          { ...axis, size: 18, space: 70 },
          { ...axis, size: 38, space: 24 },
        ],
        ...(utc ? { tzDate: (ts: number) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC") } : {}),
        series: [{}, ...lines.map((one) => ({ label: one.label, stroke: one.colour, width: 1.5, points: { show: false } }))],
      },
      [[], ...lines.map(() => [])] as uPlot.AlignedData,
      element,
    );
    held.current = plot;
    const watch = new ResizeObserver(() => plot.setSize({ width: Math.max(element.clientWidth, 100), height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.destroy();
      held.current = null;
    };
  }, [theme, utc, count, height]);
  useEffect(() => {
    const clean = (list: readonly number[]): (number | null)[] => list.map((v) => (Number.isFinite(v) ? v : null));
    held.current?.setData([[...times], ...lines.map((one) => clean(one.values))] as uPlot.AlignedData);
  });
  const last = lines.map((one) => one.values.at(-1) ?? NaN);
  return (
    <figure class="chart">
      <figcaption>
        {title}
        <span>
          {lines.map((one, index) => (
            <span key={one.label}>
              <i class="swatch" style={{ background: one.colour }} />
              {lines.length > 1 ? `${one.label} ` : ""}
              <b>{Number.isFinite(last[index]) ? (last[index] as number).toFixed((last[index] as number) < 10 ? 1 : 0) : "–"}</b>{" "}
            </span>
          ))}
          <span class="dim">{unit}</span>
        </span>
      </figcaption>
      <div ref={target} role="img" aria-label={`${title} over the last ten minutes`} />
    </figure>
  );
}
