#!/usr/bin/env python3
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Health check of the images: 0 when the panel's server calls the box healthy, else 1."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask the panel's server on this machine."""
    port = os.environ.get("THEBOX_PANEL_PORT") or "8080"
    secure = bool(os.environ.get("THEBOX_PANEL_CERTIFICATE"))
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/health"
    # The certificate is for the name that browsers use, not for the loopback.
    context = ssl._create_unverified_context() if secure else None  # noqa: S323
    try:
        with urllib.request.urlopen(url, timeout=4.0, context=context) as answer:  # noqa: S310
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
