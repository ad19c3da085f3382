// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Who sits here, by the panel server's HTTP addresses. */

export interface Session {
  user: string;
  role: "operator" | "viewer";
  login_required: boolean;
}

export interface Config {
  namespace: string;
  bridge: string;
  version: string;
  settings_writable: boolean;
}

async function reason(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { error?: string; message?: string };
    return body.error ?? body.message ?? text;
  } catch {
    return text || `the server answered ${response.status}`;
  }
}

async function post(path: string, body: object): Promise<Response> {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
  });
}

/** The session, or undefined when a login is needed. @throws Error when the server is away. */
export async function session(): Promise<Session | undefined> {
  const response = await fetch("api/session", { credentials: "same-origin", cache: "no-store" });
  if (response.status === 401) return undefined;
  if (!response.ok) throw new Error(await reason(response));
  return (await response.json()) as Session;
}

export async function config(): Promise<Config> {
  const response = await fetch("api/config", { credentials: "same-origin", cache: "no-store" });
  if (!response.ok) throw new Error(await reason(response));
  return (await response.json()) as Config;
}

/** @throws Error with the server's reason. */
export async function login(user: string, password: string): Promise<void> {
  const response = await post("api/login", { user, password });
  if (!response.ok) throw new Error(await reason(response));
}

export async function logout(): Promise<void> {
  await post("api/logout", {});
}

/** Write a node's present parameters to the site's file. @throws Error with the server's reason. */
export async function saveSettings(node: string): Promise<string> {
  const response = await post("api/settings/save", { node });
  if (!response.ok) throw new Error(await reason(response));
  const body = (await response.json().catch(() => ({}))) as { message?: string; path?: string };
  return body.message ?? body.path ?? "saved";
}

/** Address of the bridge's WebSocket, beside the page or as the server names it. */
export function bridgeUrl(path: string): string {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : url.protocol === "http:" ? "ws:" : url.protocol;
  return url.href;
}
