// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { age, bearing, length, percent, speed, UNKNOWN } from "../core/format";
import { callsign, identity, passes, rangeMethod, sortTracks, type Filter, type Kind, type Shown, type SortKey, type State } from "../core/track";
import { shownTime } from "../state/clock";
import { coverages, listed, selected } from "../state/picture";
import { palette } from "../map/palette";
import { preferences } from "../state/preferences";
import { TrackDetail } from "./TrackDetail";

const sort = signal<{ key: SortKey; down: boolean }>({ key: "number", down: false });
const filter = signal<Filter>({ text: "", states: new Set<State>(["confirmed", "coasting"]), kinds: new Set<Kind>(["sought", "other"]), sensors: new Set(), confidence: 0 });

const COLUMNS: readonly [SortKey, string, string, string][] = [
  ["state", "", "narrow", "State"],
  ["number", "Track", "", "Number of the track"],
  ["class", "Identity", "", "Identity, or class"],
  ["sensors", "By", "", "Sensors that see it"],
  ["confidence", "Conf.", "num", "Confidence that it is there"],
  ["bearing", "Brg", "num", "True bearing"],
  ["range", "Range", "num", "Range, where a measurement bears on it"],
  ["speed", "Speed", "num", "Speed over ground"],
  ["age", "Age", "num", "Since the last update"],
];

const STATES: readonly State[] = ["confirmed", "coasting", "tentative"];
const KINDS: readonly [Kind, string, string][] = [
  ["sought", "drones, unknown", "Drones, and all that nobody has told apart from one"],
  ["other", "others", "Birds, boats, people, aircraft and other known things"],
];

function Filters({ tracks, shown }: { tracks: readonly Shown[]; shown: number }) {
  const now = filter.value;
  const sensors = [...new Set(tracks.flatMap((one) => one.track.sensors))].sort();
  const toggle = <T,>(set: ReadonlySet<T>, item: T): Set<T> => {
    const next = new Set(set);
    if (!next.delete(item)) next.add(item);
    return next;
  };
  return (
    <div class="filters">
      <input
        type="search"
        placeholder="Filter: number, label, sensor…"
        aria-label="Filter the tracks"
        value={now.text}
        onInput={(e) => {
          filter.value = { ...now, text: e.currentTarget.value };
        }}
      />
      <div class="chips" role="group" aria-label="States">
        {STATES.map((state) => (
          <button
            key={state}
            type="button"
            class={`toggle state-${state}`}
            aria-pressed={now.states.has(state)}
            onClick={() => {
              filter.value = { ...now, states: toggle(now.states, state) };
            }}
          >
            {state} <b>{tracks.filter((one) => one.state === state).length}</b>
          </button>
        ))}
      </div>
      <div class="chips" role="group" aria-label="Kinds">
        {KINDS.map(([kind, words, title]) => (
          <button
            key={kind}
            type="button"
            class={`toggle kind-${kind}`}
            title={title}
            aria-pressed={now.kinds.has(kind)}
            onClick={() => {
              filter.value = { ...now, kinds: toggle(now.kinds, kind) };
            }}
          >
            {words} <b>{tracks.filter((one) => one.kind === kind && now.states.has(one.state)).length}</b>
          </button>
        ))}
      </div>
      <div class="chips" role="group" aria-label="Sensors">
        {sensors.map((name) => (
          <button
            key={name}
            type="button"
            class="toggle"
            aria-pressed={now.sensors.has(name)}
            onClick={() => {
              filter.value = { ...now, sensors: toggle(now.sensors, name) };
            }}
          >
            {name}
          </button>
        ))}
        <label class="slider">
          conf. ≥ {Math.round(now.confidence * 100)} %
          <input
            type="range"
            min={0}
            max={95}
            step={5}
            value={now.confidence * 100}
            onInput={(e) => {
              filter.value = { ...now, confidence: Number(e.currentTarget.value) / 100 };
            }}
          />
        </label>
        <span class="dim spring">
          {shown} of {tracks.length}
        </span>
      </div>
    </div>
  );
}

/** A square for each sensor, in the colour of its kind. */
function SensorMarks({ names }: { names: readonly string[] }) {
  const colours = palette(preferences.value.theme).modality;
  const words = names.join(", ");
  return (
    <span class="marks" role="img" aria-label={words || "none"} title={words}>
      {names.map((name) => (
        <i key={name} style={{ background: colours[coverages.value.get(name)?.modality ?? 0] }} />
      ))}
    </span>
  );
}

function Row({ one, time }: { one: Shown; time: number }) {
  const { units } = preferences.value;
  const { track } = one;
  const chosen = selected.value === one.id;
  const choose = (): void => {
    selected.value = chosen ? undefined : one.id;
  };
  return (
    <tr
      class={`state-${one.state} kind-${one.kind}`}
      data-track-row={one.id}
      aria-selected={chosen}
      tabIndex={0}
      onClick={choose}
      onKeyDown={(e) => {
        if (e.key !== "Enter") return;
        choose();
        e.preventDefault();
      }}
    >
      <td class="narrow">
        <i class="dot" title={one.state} role="img" aria-label={one.state} />
      </td>
      <td>
        <b>{callsign(track)}</b>
      </td>
      <td class="name" title={identity(track)}>
        {identity(track)}
      </td>
      <td>
        <SensorMarks names={track.sensors} />
      </td>
      <td class="num">{percent(track.confidence)}</td>
      <td class="num">{bearing(track.bearing, units)}</td>
      <td class="num" title={track.range_observed ? `± ${length(track.range_std, units)}, ${rangeMethod(track.range_method)}` : ""}>{track.range_observed ? length(track.range, units) : <span class="dim" title="No measurement bears on the range">bearing</span>}</td>
      <td class="num">{one.fixed ? speed(one.speed, units) : UNKNOWN}</td>
      <td class="num">{age(time - one.lastUpdated)}</td>
    </tr>
  );
}

export function TracksPage() {
  const { tracks } = listed.value;
  const { key, down } = sort.value;
  const wanted = filter.value;
  const rows = useMemo(
    () => sortTracks(tracks.filter((one) => passes(one, wanted) || one.id === selected.value), key, down),
    [tracks, wanted, key, down, selected.value],
  );
  const time = shownTime();
  return (
    <div class="tracks">
      <Filters tracks={tracks} shown={rows.length} />
      <div class="scroll">
        <table class="list" aria-label="Tracks">
          <thead>
            <tr>
              {COLUMNS.map(([column, label, kind, about]) => (
                <th key={column} class={kind} aria-sort={key === column ? (down ? "descending" : "ascending") : "none"}>
                  <button
                    type="button"
                    title={about}
                    aria-label={label === "" ? about : undefined}
                    onClick={() => {
                      sort.value = { key: column, down: key === column ? !down : column === "confidence" || column === "speed" };
                    }}
                  >
                    {label}
                    <span aria-hidden="true">{key === column ? (down ? "↓" : "↑") : ""}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => (
              <Row key={one.id} one={one} time={time} />
            ))}
          </tbody>
        </table>
        {rows.length === 0 ? (
          <p class="empty">{tracks.length === 0 ? "No tracks. Are the sensors watching? See Sensors." : "No track passes the filter."}</p>
        ) : null}
      </div>
      <TrackDetail />
    </div>
  );
}
