// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import { config } from "../state/box";
import { helpOpen } from "./navigation";
import { KEYS } from "./shortcuts";

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helpOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-labelledby="help-title"
      onClose={() => {
        helpOpen.value = false;
      }}
    >
      <h2 id="help-title">Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="dim">
        Right button, or a long press, on the picture: slew the camera there. A sector with a dotted line is a track that is only heard:
        its bearing is known, its range is not. TheBox {config.value?.version ?? ""}
      </p>
      <button
        type="button"
        class="primary"
        onClick={() => {
          helpOpen.value = false;
        }}
      >
        Close
      </button>
    </dialog>
  );
}
