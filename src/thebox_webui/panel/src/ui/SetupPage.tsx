// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { config, session } from "../state/box";
import { prefer, preferences } from "../state/preferences";
import type { Units } from "../core/format";

function Choice<K extends keyof Units>({ name, label, options }: { name: K; label: string; options: readonly [Units[K], string][] }) {
  const { units } = preferences.value;
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      <span>{label}</span>
      <div class="chips">
        {options.map(([value, words]) => (
          <button
            key={value}
            type="button"
            role="radio"
            class="toggle"
            aria-checked={units[name] === value}
            onClick={() => prefer({ units: { ...units, [name]: value } })}
          >
            {words}
          </button>
        ))}
      </div>
    </div>
  );
}

export function SetupPage() {
  const { theme, sound } = preferences.value;
  return (
    <div class="scroll setup">
      <Choice name="angle" label="Angles" options={[["deg", "degrees"], ["mil", "mils"]]} />
      <Choice name="length" label="Distance" options={[["m", "metres"], ["NM", "nautical miles"], ["ft", "feet"]]} />
      <Choice name="speed" label="Speed" options={[["m/s", "m/s"], ["kn", "knots"], ["km/h", "km/h"]]} />
      <Choice name="time" label="Time" options={[["utc", "UTC"], ["local", "local"]]} />
      <div class="choice" role="radiogroup" aria-label="Colours">
        <span>Colours</span>
        <div class="chips">
          {(["dark", "light"] as const).map((one) => (
            <button key={one} type="button" role="radio" class="toggle" aria-checked={theme === one} onClick={() => prefer({ theme: one })}>
              {one}
            </button>
          ))}
        </div>
      </div>
      <label class="check">
        <input type="checkbox" checked={sound} onChange={() => prefer({ sound: !sound })} />
        Alerts sound
      </label>
      <p class="dim">
        Kept in this browser. Box {config.value?.namespace} · version {config.value?.version} · logged in as {session.value?.user || "operator"} (
        {session.value?.role})
      </p>
    </div>
  );
}
