// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useMemo, useState } from "preact/hooks";
import { check, rangeText, valueOf, type Field, type ParameterValue } from "../core/parameters";
import { saveSettings } from "../bridge/session";
import { config, mayCommand } from "../state/box";
import { setSettings, settingsOf } from "../state/commands";
import { toast } from "../state/notices";

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function Input({ field, text, change, locked }: { field: Field; text: string; change: (text: string) => void; locked: boolean }) {
  const id = `setting-${field.name}`;
  const common = { id, disabled: locked || field.readOnly, "aria-describedby": `${id}-about`, name: field.name };
  if (field.kind === "bool") {
    return (
      <select {...common} value={text} onChange={(e) => change(e.currentTarget.value)}>
        <option value="true">true</option>
        <option value="false">false</option>
      </select>
    );
  }
  if (field.choices.length > 0 && field.kind === "string") {
    return (
      <select {...common} value={text} onChange={(e) => change(e.currentTarget.value)}>
        {field.choices.map((choice) => (
          <option key={choice} value={choice}>
            {choice}
          </option>
        ))}
      </select>
    );
  }
  const numeric = field.kind === "integer" || field.kind === "double";
  return (
    <input
      {...common}
      type="text"
      inputMode={numeric ? "decimal" : "text"}
      spellcheck={false}
      autocomplete="off"
      value={text}
      aria-invalid={!field.readOnly && check(field, text) !== ""}
      onInput={(e) => change(e.currentTarget.value)}
    />
  );
}

function Setting({ field, text, change, locked }: { field: Field; text: string; change: (text: string) => void; locked: boolean }) {
  const changed = text !== field.text;
  const fault = changed ? check(field, text) : "";
  const range = rangeText(field);
  return (
    <div class={`setting ${changed ? "changed" : ""} ${fault ? "wrong" : ""}`} data-setting={field.name}>
      <label for={`setting-${field.name}`}>{field.name}</label>
      <Input field={field} text={text} change={change} locked={locked} />
      <p id={`setting-${field.name}-about`} class="dim">
        {field.description} {range && field.choices.length === 0 ? <span class="range">{range}</span> : null}
        {field.readOnly ? " Can be set at start only." : ""}
      </p>
      {fault ? (
        <p class="fault" role="alert">
          {fault}
        </p>
      ) : null}
    </div>
  );
}

/** A node's parameters as a form made from their descriptors. */
export function SettingsForm({ node }: { node: string }) {
  const [fields, setFields] = useState<Field[]>();
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [fault, setFault] = useState("");
  const [filter, setFilter] = useState("");
  const [busy, setBusy] = useState(false);
  const load = async (): Promise<void> => {
    try {
      setFields(await settingsOf(node));
      setTexts({});
      setFault("");
    } catch (error) {
      setFault(`The settings of ${node} cannot be read: ${reasonOf(error)}`);
    }
  };
  useEffect(() => void load(), [node]);
  const changed = useMemo(() => (fields ?? []).filter((f) => (texts[f.name] ?? f.text) !== f.text), [fields, texts]);
  const wrong = changed.filter((f) => check(f, texts[f.name] ?? "") !== "");
  const locked = !mayCommand() || busy;
  const send = async (): Promise<void> => {
    const values: Record<string, ParameterValue> = {};
    for (const f of changed) values[f.name] = valueOf(f, texts[f.name] ?? "");
    setBusy(true);
    const refused = await setSettings(node, values);
    setBusy(false);
    if (refused) {
      setFault(`Refused: ${refused}`);
    } else {
      toast("ok", `${node}: ${changed.map((f) => f.name).join(", ")} set`);
      await load();
    }
  };
  const save = async (): Promise<void> => {
    setBusy(true);
    try {
      toast("ok", `${node}: ${await saveSettings(node)}`);
    } catch (error) {
      setFault(`Not saved: ${reasonOf(error)}`);
    } finally {
      setBusy(false);
    }
  };
  if (fields === undefined) return <p class="empty">{fault || "Reading the settings…"}</p>;
  const wanted = fields.filter((f) => `${f.name} ${f.description}`.toLowerCase().includes(filter.toLowerCase()));
  const groups = [...new Set(wanted.map((f) => f.group))];
  return (
    <form
      class="settings"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (wrong.length === 0 && changed.length > 0) void send();
      }}
    >
      <input type="search" placeholder="Find a setting…" aria-label="Find a setting" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
      {groups.map((group) => (
        <fieldset key={group}>
          {group ? <legend>{group}</legend> : null}
          {wanted
            .filter((f) => f.group === group)
            .map((f) => (
              <Setting key={f.name} field={f} text={texts[f.name] ?? f.text} locked={locked} change={(text) => setTexts({ ...texts, [f.name]: text })} />
            ))}
        </fieldset>
      ))}
      <footer>
        {fault ? (
          <p class="fault" role="alert" data-test="refused">
            {fault}
          </p>
        ) : null}
        <button type="submit" class="primary" disabled={locked || changed.length === 0 || wrong.length > 0}>
          {changed.length > 1 ? `Set ${changed.length} settings` : "Set"}
        </button>
        <button type="button" disabled={changed.length === 0} onClick={() => setTexts({})}>
          Undo
        </button>
        <div class="spring" />
        <button
          type="button"
          disabled={locked || config.value?.settings_writable !== true}
          title={config.value?.settings_writable === true ? "Keep the present settings for the next start" : "The box was started without a parameter file to write to"}
          onClick={() => void save()}
        >
          Save to the parameter file
        </button>
      </footer>
    </form>
  );
}
