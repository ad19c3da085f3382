// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { counts, number, plainValues, type Node } from "../core/health";
import { age, duration, UNKNOWN } from "../core/format";
import { mayCommand } from "../state/box";
import { activate, busyNodes, deactivate, restart } from "../state/commands";
import { health, sensorNodes } from "../state/health";
import { coverages } from "../state/picture";
import { modalityName } from "../map/palette";
import { Icon } from "./icons";
import { SettingsForm } from "./SettingsForm";

const open = signal<string | undefined>(undefined);

const SIGHT = { ok: "seeing", warn: "needs a look", error: "blind", stale: "silent" } as const;

function Rejects({ node }: { node: Node }) {
  const reasons = counts(node.input, "rejected");
  if (reasons.length === 0) return <span class="dim">none</span>;
  return (
    <>
      {reasons.map(([why, count]) => (
        <span key={why} class="tag">
          {why} <b>{count}</b>
        </span>
      ))}
    </>
  );
}

function Card({ node }: { node: Node }) {
  const busy = busyNodes.value.has(node.name);
  const locked = !mayCommand() || busy;
  const active = node.state === "active";
  const { input } = node;
  const modality = coverages.value.get(node.name)?.modality;
  const rate = number(input, "rate");
  const lastReject = input?.values.get("last_reject");
  return (
    <article class={`card level-${node.level}`} data-sensor={node.name} data-state={node.state} aria-label={node.name}>
      <header>
        <i class="lamp" />
        <h2>{node.name}</h2>
        <span class="dim">{modality ? modalityName[modality] : ""}</span>
        <span class="state" data-test="sensor-state">
          {node.silent ? "not running" : node.state}
        </span>
        <div class="acts">
          {node.state === "" ? null : active ? (
            <button type="button" disabled={locked} onClick={() => void deactivate(node.name)}>
              Deactivate
            </button>
          ) : (
            <button type="button" class="primary" disabled={locked} onClick={() => void activate(node.name)}>
              Activate
            </button>
          )}
          {node.state === "" ? null : (
            <button type="button" disabled={locked} onClick={() => void restart(node.name)}>
              Restart
            </button>
          )}
          <button
            type="button"
            onClick={() => {
              open.value = node.name;
            }}
          >
            Settings
          </button>
        </div>
      </header>
      <p class="message">{node.level === "ok" ? node.message : `${SIGHT[node.level]}: ${node.message}`}</p>
      {input ? (
        <dl class="numbers">
          <div>
            <dt>rate</dt>
            <dd>{Number.isFinite(rate) && active ? `${rate.toFixed(1)} /s` : UNKNOWN}</dd>
          </div>
          <div>
            <dt>last</dt>
            <dd>{age(number(input, "age"))}</dd>
          </div>
          <div>
            <dt>latency 50 / 99 %</dt>
            <dd>
              {duration(number(input, "latency.p50"))} / {duration(number(input, "latency.p99"))}
            </dd>
          </div>
          <div>
            <dt>accepted</dt>
            <dd>{input.values.get("accepted") ?? UNKNOWN}</dd>
          </div>
          <div>
            <dt>dropped</dt>
            <dd>{(number(input, "dropped") || 0) + (number(input, "kernel_drops") || 0)}</dd>
          </div>
          <div class="wide line">
            <dt>rejected</dt>
            <dd>
              <Rejects node={node} />
            </dd>
          </div>
          {lastReject ? (
            <div class="wide line">
              <dt>last error</dt>
              <dd class="cut" title={lastReject}>
                {lastReject}
              </dd>
            </div>
          ) : null}
        </dl>
      ) : null}
      <details>
        <summary>More</summary>
        {node.subjects.map((one) => (
          <div key={one.name}>
            <h3>
              {one.name} <span class="dim">{one.message}</span>
            </h3>
            <dl class="values">
              {plainValues(one).map(([key, value]) => (
                <div key={key}>
                  <dt>{key}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </div>
        ))}
      </details>
    </article>
  );
}

export function SensorsPage() {
  const name = open.value;
  if (name !== undefined) {
    return (
      <div class="scroll">
        <div class="page-head">
          <button
            type="button"
            class="plain"
            aria-label="Back to the sensors"
            onClick={() => {
              open.value = undefined;
            }}
          >
            <Icon name="back" />
          </button>
          <h2>Settings of {name}</h2>
        </div>
        <SettingsForm key={name} node={name} />
      </div>
    );
  }
  const others = health.value.filter((node) => node.input === undefined && node.state !== "");
  return (
    <div class="scroll cards">
      {sensorNodes.value.length === 0 ? <p class="empty">No sensor has reported yet.</p> : null}
      {sensorNodes.value.map((node) => (
        <Card key={node.name} node={node} />
      ))}
      {others.length > 0 ? <h3 class="group">Processing</h3> : null}
      {others.map((node) => (
        <Card key={node.name} node={node} />
      ))}
    </div>
  );
}
