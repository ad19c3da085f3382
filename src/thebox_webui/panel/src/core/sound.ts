// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The alert's sound, made here: no file is needed. */

let context: AudioContext | undefined;

/**
 * Two short tones.
 *
 * @returns whether they can be heard: browsers allow sound only after the page was touched once.
 */
export function chime(): boolean {
  context ??= new AudioContext();
  void context.resume();
  if (context.state !== "running" && navigator.userActivation?.hasBeenActive === false) return false;
  const start = context.currentTime;
  [880, 660].forEach((frequency, index) => {
    const at = start + index * 0.18;
    const tone = (context as AudioContext).createOscillator();
    const gain = (context as AudioContext).createGain();
    tone.frequency.value = frequency;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.25, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.16);
    tone.connect(gain).connect((context as AudioContext).destination);
    tone.start(at);
    tone.stop(at + 0.17);
  });
  return true;
}
