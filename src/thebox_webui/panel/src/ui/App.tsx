// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect } from "preact/hooks";
import { session, serverFault } from "../state/box";
import { CameraPage } from "./CameraPage";
import { EventsPage } from "./EventsPage";
import { HealthPage } from "./HealthPage";
import { Help } from "./Help";
import { Login } from "./Login";
import { page, PAGES } from "./navigation";
import { Notices } from "./Notices";
import { PlanView } from "./PlanView";
import { SensorsPage } from "./SensorsPage";
import { SetupPage } from "./SetupPage";
import { shortcuts } from "./shortcuts";
import { Icon } from "./icons";
import { TimeBar } from "./TimeBar";
import { TopBar } from "./TopBar";
import { TracksPage } from "./TracksPage";
import { ZonesPage } from "./ZonesPage";
import { openAlerts } from "../state/events";

const CONTENT = {
  tracks: TracksPage,
  camera: CameraPage,
  sensors: SensorsPage,
  events: EventsPage,
  health: HealthPage,
  zones: ZonesPage,
  setup: SetupPage,
} as const;

function Tabs() {
  const move = (event: KeyboardEvent): void => {
    const at = PAGES.findIndex((one) => one.page === page.value);
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = PAGES[(at + by + PAGES.length) % PAGES.length];
    if (by === 0 || next === undefined) return;
    event.stopPropagation();
    page.value = next.page;
    document.getElementById(`tab-${next.page}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Pages" onKeyDown={move}>
      {PAGES.map((one) => (
        <button
          key={one.page}
          id={`tab-${one.page}`}
          role="tab"
          type="button"
          aria-selected={page.value === one.page}
          aria-controls="page"
          tabIndex={page.value === one.page ? 0 : -1}
          title={`${one.label} (${one.key})`}
          onClick={() => {
            page.value = one.page;
          }}
        >
          <Icon name={one.icon} />
          <span>{one.label}</span>
          {one.page === "events" && openAlerts.value.length > 0 ? <b class="count">{openAlerts.value.length}</b> : null}
        </button>
      ))}
    </div>
  );
}

export function App() {
  useEffect(() => shortcuts(), []);
  if (session.value === null) return <Login />;
  if (session.value === undefined) {
    return (
      <div class="splash" role="status">
        {serverFault.value ? `The panel server is away: ${serverFault.value}. Trying again…` : "Connecting…"}
      </div>
    );
  }
  const Content = CONTENT[page.value];
  return (
    <div class="app">
      <TopBar />
      <PlanView />
      <aside class="side" aria-label="Details">
        <Tabs />
        <section id="page" class={`page page-${page.value}`} role="tabpanel" aria-labelledby={`tab-${page.value}`}>
          <Content />
        </section>
      </aside>
      <TimeBar />
      <Notices />
      <Help />
    </div>
  );
}
