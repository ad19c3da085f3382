// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { dismiss, notices } from "../state/notices";
import { Icon } from "./icons";

export function Notices() {
  return (
    <div class="notices" aria-live="polite" role="status">
      {notices.value.map((one) => (
        <div key={one.key} class={`notice ${one.level}`}>
          <span>{one.text}</span>
          <button type="button" class="plain" aria-label="Close this notice" onClick={() => dismiss(one.key)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
