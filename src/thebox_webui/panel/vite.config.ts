// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

import { defineConfig } from "vitest/config";

/** Address of a running panel server (`./thebox up`), for `npm run dev`. */
const box = process.env.THEBOX_PANEL ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    // Nothing inlined: the server's content security policy allows neither data: nor inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
  },
  server: {
    proxy: {
      "/api": { target: box },
      "/bridge": { target: box, ws: true },
      "/health": { target: box },
    },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
