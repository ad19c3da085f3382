// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import { login } from "../bridge/session";
import { start } from "../state/box";

export function Login() {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setFault("");
    try {
      await login(user, password);
      setPassword("");
      await start();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)} aria-labelledby="login-title">
        <img src="./icon.svg" alt="" width="44" height="44" />
        <h1 id="login-title">TheBox</h1>
        <p class="dim">Log in to see the picture.</p>
        <label>
          User
          <input name="user" autocomplete="username" required value={user} onInput={(e) => setUser(e.currentTarget.value)} />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autocomplete="current-password"
            required
            value={password}
            onInput={(e) => setPassword(e.currentTarget.value)}
          />
        </label>
        {fault ? (
          <p class="fault" role="alert">
            {fault}
          </p>
        ) : null}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
      </form>
    </main>
  );
}
