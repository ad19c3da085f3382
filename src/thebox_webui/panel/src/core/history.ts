// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** What was received in the last minutes, bounded by age and by bytes. */

interface Entry<T> {
  time: number;
  bytes: number;
  value: T;
}

/**
 * A ring of messages in time order. Beyond its budget of bytes it thins itself: every other entry of
 * the older half goes, so that the span stays and only its grain grows coarser.
 */
export class History<T> {
  private entries: Entry<T>[] = [];
  private held = 0;
  private last = -Infinity;

  constructor(
    private readonly span: number,
    private readonly budget = Infinity,
    /** Closest spacing of entries, seconds: nearer ones are not kept. */
    private readonly spacing = 0,
  ) {}

  get length(): number {
    return this.entries.length;
  }

  get bytes(): number {
    return this.held;
  }

  get oldest(): number {
    return this.entries[0]?.time ?? NaN;
  }

  /** Keep `value`; one that comes late goes to its own time's place. */
  add(time: number, value: T, bytes = 0): void {
    if (time >= this.last && time - this.last < this.spacing) return;
    const entry = { time, bytes, value };
    if (time >= this.last) {
      this.entries.push(entry);
      this.last = time;
    } else {
      this.entries.splice(this.after(time), 0, entry);
    }
    this.held += bytes;
    let old = 0;
    while (old < this.entries.length && (this.entries[old] as Entry<T>).time < this.last - this.span) {
      this.held -= (this.entries[old] as Entry<T>).bytes;
      old++;
    }
    if (old > 0) this.entries.splice(0, old);
    while (this.held > this.budget && this.entries.length > 2) this.thin();
  }

  /** The newest entry not after `time`. */
  at(time: number): T | undefined {
    return this.entries[this.after(time) - 1]?.value;
  }

  /** Time of the newest entry not after `time`; NaN when there is none. */
  timeAt(time: number): number {
    return this.entries[this.after(time) - 1]?.time ?? NaN;
  }

  /** Entries with from < time <= to, oldest first. */
  between(from: number, to: number): T[] {
    return this.entries.slice(this.after(from), this.after(to)).map((entry) => entry.value);
  }

  clear(): void {
    this.entries = [];
    this.held = 0;
    this.last = -Infinity;
  }

  /** Index of the first entry after `time`. */
  private after(time: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.entries[middle] as Entry<T>).time <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private thin(): void {
    const half = Math.max(2, Math.ceil(this.entries.length / 2));
    this.entries = this.entries.filter((_, index) => index >= half || index % 2 === 0);
    this.held = this.entries.reduce((sum, entry) => sum + entry.bytes, 0);
  }
}
