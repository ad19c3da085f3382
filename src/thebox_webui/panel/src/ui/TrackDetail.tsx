// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "preact/hooks";
import { EvidenceConstants as K, TrackConstants as T, VisualVerificationConstants as V, type Evidence } from "../generated/messages";
import { seconds } from "../core/codec";
import { age, angle, bearing, clock, frequency, length, percent, speed, UNKNOWN } from "../core/format";
import { wrapBearing } from "../core/angles";
import { callsign, className, identity, rangeMethod, verdict, type Shown } from "../core/track";
import { bridge, mayCommand } from "../state/box";
import { isLive, shownTime } from "../state/clock";
import { evidenceOf } from "../state/commands";
import { listed, selected } from "../state/picture";
import { preferences } from "../state/preferences";
import { slewToTrack } from "./actions";
import { Icon } from "./icons";

const KINDS: Record<number, string> = {
  [K.KIND_HIT]: "hit",
  [K.KIND_MISS]: "miss",
  [K.KIND_DECAY]: "silence",
  [K.KIND_VISUAL]: "camera",
  [K.KIND_STATE]: "state",
  [K.KIND_MERGE]: "merge",
};

const probability = (logOdds: number): number => 1 / (1 + Math.exp(-logOdds));

function useEvidence(id: string): { entries: Evidence[]; fault: string } {
  const [held, setHeld] = useState<{ id: string; entries: Evidence[]; fault: string }>({ id: "", entries: [], fault: "" });
  useEffect(() => {
    let over = false;
    const ask = async (): Promise<void> => {
      if (bridge.link.peek() !== "open") return;
      try {
        const entries = await evidenceOf(id);
        if (!over) setHeld({ id, entries, fault: "" });
      } catch (error) {
        if (!over) setHeld((before) => ({ ...before, id, fault: error instanceof Error ? error.message : String(error) }));
      }
    };
    void ask();
    const timer = setInterval(() => void ask(), 2000);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [id]);
  return held.id === id ? held : { entries: [], fault: "" };
}

/** Existence confidence over the ledger's entries. */
function Course({ entries }: { entries: readonly Evidence[] }) {
  if (entries.length < 2) return null;
  const first = seconds((entries[0] as Evidence).stamp);
  const span = Math.max(seconds((entries.at(-1) as Evidence).stamp) - first, 0.1);
  const points = entries
    .filter((one) => Number.isFinite(one.log_odds))
    .map((one) => `${(((seconds(one.stamp) - first) / span) * 200).toFixed(1)},${(38 - 36 * probability(one.log_odds)).toFixed(1)}`);
  return (
    <svg class="course" viewBox="0 0 200 40" preserveAspectRatio="none" role="img" aria-label="Confidence over the ledger's time">
      <path d="M0 2H200M0 20H200M0 38H200" class="grid" />
      <polyline points={points.join(" ")} />
    </svg>
  );
}

function Ledger({ id }: { id: string }) {
  const { entries, fault } = useEvidence(id);
  const { units } = preferences.value;
  const most = Math.max(1, ...entries.map((one) => Math.abs(one.delta_log_odds) || 0));
  return (
    <div class="ledger">
      <h3>
        Evidence <span class="dim">what moved the confidence</span>
      </h3>
      <Course entries={entries} />
      {fault ? <p class="dim">{fault}</p> : null}
      <table aria-label="Evidence ledger">
        <tbody>
          {[...entries].reverse().map((one, index) => (
            <tr key={`${one.stamp.sec}.${one.stamp.nanosec}.${index}`}>
              <td class="dim mono">{clock(seconds(one.stamp), units)}</td>
              <td>
                {one.sensor || "–"} <span class="dim">{KINDS[one.kind] ?? ""}</span>
              </td>
              <td class="bar">
                <i
                  class={one.delta_log_odds >= 0 ? "up" : "down"}
                  style={{ width: `${(Math.min(Math.abs(one.delta_log_odds) || 0, most) / most) * 50}%` }}
                />
              </td>
              <td class="num mono">{Number.isFinite(one.delta_log_odds) ? `${one.delta_log_odds >= 0 ? "+" : "−"}${Math.abs(one.delta_log_odds).toFixed(2)}` : UNKNOWN}</td>
              <td class="num mono">{Number.isFinite(one.log_odds) ? percent(probability(one.log_odds)) : UNKNOWN}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Facts({ one }: { one: Shown }) {
  const { units } = preferences.value;
  const { track } = one;
  const time = shownTime();
  const visual = track.visual_verification;
  const rows: [string, string][] = [
    ["Bearing", `${bearing(track.bearing, units)} ± ${angle(track.bearing_std, units)}`],
    [
      "Range",
      track.range_observed
        ? `${length(track.range, units)} ± ${length(track.range_std, units)}, ${rangeMethod(track.range_method)}`
        : Number.isFinite(track.range)
          ? `not observed; prior ${length(track.range, units)} ± ${length(track.range_std, units)}`
          : "not observed",
    ],
    ["Elevation", `${angle(track.elevation, units)} ± ${angle(track.elevation_std, units)}`],
    ["Height", one.fixed ? `${length(track.position.z, units)} ± ${length(Math.sqrt(track.covariance[14] ?? NaN), units)}` : UNKNOWN],
    ["Velocity", one.fixed ? `${speed(one.speed, units)}, course ${bearing(wrapBearing(one.course), units)}` : UNKNOWN],
    ["Class", `${className(track.object_class)}${track.object_class !== T.CLASS_UNKNOWN && track.class_probability > 0 ? `, ${percent(track.class_probability)}` : ""}`],
    ["Sensors", track.sensors.join(", ") || UNKNOWN],
    ["Identities", track.sensor_track_ids.join(", ") || UNKNOWN],
    ["Heard on", [...track.frequencies].map(frequency).join(", ") || UNKNOWN],
    ["Received", Number.isFinite(track.rssi) ? `${track.rssi.toFixed(0)} dBm` : UNKNOWN],
    [
      "Camera",
      visual.verdict === V.VERDICT_NOT_LOOKED
        ? verdict(visual.verdict)
        : `${verdict(visual.verdict)}${visual.label ? `: ${visual.label} ${percent(visual.confidence)}` : ""}${visual.reason ? `, ${visual.reason}` : ""}`,
    ],
    ["First seen", `${clock(one.firstSeen, units)}, ${age(time - one.firstSeen)} ago`],
    ["Updated", `${age(time - one.lastUpdated)} ago, ${track.detection_count} detections`],
  ];
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The picture that the camera's verdict rests on; nothing once it has made room for newer ones. */
function Snapshot({ name, label }: { name: string; label: string }) {
  const [lost, setLost] = useState(false);
  if (name === "" || lost) return null;
  return (
    <figure class="snapshot">
      <img
        src={`/snapshots/${encodeURIComponent(name)}`}
        alt={`What the camera saw${label ? `: ${label}` : ""}`}
        data-test="snapshot"
        onError={() => {
          setLost(true);
        }}
      />
    </figure>
  );
}

export function TrackDetail() {
  const id = selected.value;
  if (id === undefined) return null;
  const one = listed.value.byId.get(id);
  const close = (
    <button
      type="button"
      class="plain"
      aria-label="Select no track"
      onClick={() => {
        selected.value = undefined;
      }}
    >
      <Icon name="close" />
    </button>
  );
  if (one === undefined) {
    return (
      <div class="detail" data-test="detail">
        <header>
          <h2>Track is gone</h2>
          {close}
        </header>
        <p class="dim">The box holds it no longer{isLive.value ? "" : " at this time"}.</p>
      </div>
    );
  }
  const { track } = one;
  return (
    <div class={`detail state-${one.state} kind-${one.kind}`} data-test="detail" aria-label={`Track ${callsign(track)}`}>
      <header>
        <i class="dot" />
        <h2>
          {callsign(track)} <span>{identity(track)}</span>
        </h2>
        <span class="state">{one.state}</span>
        <button type="button" disabled={!mayCommand() || !isLive.value} title="Slew the camera to it (C)" onClick={() => slewToTrack(id)}>
          Slew camera
        </button>
        {close}
      </header>
      <div class="scroll">
        <div class="confidence">
          <div class="meter" role="meter" aria-label="Confidence" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(track.confidence * 100)}>
            <i style={{ width: `${track.confidence * 100}%` }} />
          </div>
          <b>{percent(track.confidence)}</b>
          <p>{track.reason}</p>
        </div>
        <Facts one={one} />
        <Snapshot key={track.visual_verification.snapshot} name={track.visual_verification.snapshot} label={track.visual_verification.label} />
        <Ledger id={id} />
      </div>
    </div>
  );
}
