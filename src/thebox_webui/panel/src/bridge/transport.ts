// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The WebSocket under roslib, with two things of its own: NaN goes out as rosbridge's Python reads
 * it, and everything that arrives is counted. */

import { AbstractTransport } from "roslib";
import { toWire } from "../core/codec";

export interface Traffic {
  messages: number;
  bytes: number;
  /** performance.now() of the last arrival. */
  last: number;
}

export class Transport extends AbstractTransport {
  constructor(
    private readonly socket: WebSocket,
    traffic: Traffic,
  ) {
    super();
    socket.binaryType = "arraybuffer";
    socket.onopen = (event) => this.emit("open", event);
    socket.onclose = (event) => this.emit("close", event);
    socket.onerror = (event) => this.emit("error", event);
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      traffic.messages++;
      traffic.bytes += typeof data === "string" ? data.length : data.byteLength;
      traffic.last = performance.now();
      this.handleRawMessage(data);
    };
  }

  send(message: unknown): void {
    this.socket.send(toWire(message));
  }

  close(): void {
    this.socket.close();
  }

  isConnecting(): boolean {
    return this.socket.readyState === WebSocket.CONNECTING;
  }

  isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  isClosing(): boolean {
    return this.socket.readyState === WebSocket.CLOSING;
  }

  isClosed(): boolean {
    return this.socket.readyState === WebSocket.CLOSED;
  }
}
