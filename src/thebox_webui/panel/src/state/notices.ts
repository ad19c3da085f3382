// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** Short notices at the screen's edge: what a command came to. */

import { signal } from "@preact/signals";

export interface Notice {
  key: number;
  level: "ok" | "warn" | "error";
  text: string;
}

export const notices = signal<readonly Notice[]>([]);
let next = 1;

/** Show a notice; errors stay until they are closed, the rest for a few seconds. */
export function toast(level: Notice["level"], text: string): void {
  if (notices.value.some((one) => one.text === text)) return;
  const key = next++;
  notices.value = [...notices.value.slice(-3), { key, level, text }];
  if (level !== "error") setTimeout(() => dismiss(key), level === "ok" ? 4000 : 9000);
}

export function dismiss(key: number): void {
  notices.value = notices.value.filter((one) => one.key !== key);
}
