// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The box's time as its messages tell it, and which time the picture shows. */

import { computed, signal } from "@preact/signals";

/** How far back the picture can be scrubbed, seconds. */
export const SPAN = 600;
/** A clock that falls back by more than this is another one: a bag begun again. */
const JUMP = 5;

let offset = NaN;
let restarted: (() => void)[] = [];

const steady = (): number => performance.now() / 1000;

/** Take note of a stamp. The newest one rules: what comes late says nothing of the time. */
export function heardStamp(stamp: number): void {
  if (!(stamp > 0)) return;
  const told = stamp - steady();
  if (Number.isNaN(offset)) {
    offset = told;
  } else if (told < offset - JUMP) {
    offset = told;
    for (const call of restarted) call();
  } else if (told > offset) {
    offset = told;
  } else {
    // Follow a clock that runs slower than life, or one early stamp, without a jump.
    offset += (told - offset) * 0.002;
  }
}

/** Called when the box's time jumps back: what is held is of another time. */
export function onRestart(call: () => void): () => void {
  restarted.push(call);
  return () => {
    restarted = restarted.filter((one) => one !== call);
  };
}

/** The box's time now, seconds; NaN before anything was heard. */
export const boxNow = (): number => steady() + offset;

/** The time shown while paused; undefined: now. */
export const pausedAt = signal<number | undefined>(undefined);
export const isLive = computed(() => pausedAt.value === undefined);
/** Ticks twice a second, for ages and clocks. */
export const tick = signal(0);

setInterval(() => tick.value++, 500);

/** The time that the picture stands for. */
export const shownTime = (): number => pausedAt.value ?? boxNow();

/** The oldest time that there is a picture of; the picture fills it in. */
export const oldest = { time: (): number => NaN };

export function pause(time = boxNow()): void {
  const now = boxNow();
  const first = oldest.time();
  const least = Number.isFinite(first) ? Math.max(first, now - SPAN) : now - SPAN;
  if (Number.isFinite(time)) pausedAt.value = Math.min(Math.max(time, least), now);
}

export function resume(): void {
  pausedAt.value = undefined;
}

/** Step the shown time; reaching now is life again. */
export function step(by: number): void {
  const to = shownTime() + by;
  if (to >= boxNow() - 0.2) resume();
  else pause(to);
}
