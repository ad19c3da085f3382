// Copyright 2026 The TheBox contributors
// SPDX-License-Identifier: Apache-2.0

/** The connection to rosbridge: kept up, re-subscribed after a loss, with bounded waits. */

import { signal } from "@preact/signals";
import { Action, Ros, Service, Topic } from "roslib";
import { decode, normalise } from "../core/codec";
import { Transport, type Traffic } from "./transport";

export type Link = "connecting" | "open" | "lost" | "silent";

/** What is asked of the bridge for a topic, the leanest first; the next one when it is refused. */
const COMPRESSIONS = ["cbor-raw", "cbor", "none"] as const;

const ANSWER_WITHIN = 10_000;
const RETRY_FIRST = 500;
const RETRY_MOST = 5_000;
/** The box says something at least once a second; after this silence the line counts as dead. */
const SILENT_AFTER = 6_000;
const DEAD_AFTER = 15_000;

export interface Received {
  /** CDR bytes as they came; undefined when the bridge sent values. */
  bytes: Uint8Array | undefined;
  /** Size on the wire, about. */
  size: number;
}

interface Subscription {
  topic: string;
  type: string;
  compression: number;
  throttle: number;
  queue: number;
  heard: (message: never, received: Received) => void;
  ros: Topic | undefined;
  faults: number;
}

interface Status {
  op: string;
  id?: string;
  level?: string;
  msg?: string;
}

const rosType = (type: string, kind: string): string => type.replace("/", `/${kind}/`);

export class Bridge {
  readonly link = signal<Link>("connecting");
  readonly traffic: Traffic = { messages: 0, bytes: 0, last: 0 };
  /** Refusals and errors that the bridge reported, for the operator. */
  onComplaint: (text: string) => void = () => undefined;
  private readonly ros: Ros;
  private readonly subscriptions = new Map<string, Subscription>();
  private url = "";
  private delay = RETRY_FIRST;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private socket: WebSocket | undefined;

  constructor() {
    this.ros = new Ros({ transportFactory: (url) => Promise.resolve(this.open(url)) });
    this.ros.on("connection", () => {
      this.delay = RETRY_FIRST;
      this.traffic.last = performance.now();
      this.link.value = "open";
      for (const subscription of this.subscriptions.values()) this.listen(subscription);
    });
    this.ros.on("close", () => {
      // roslib's own re-subscription asks once more for every attempt that failed in between.
      for (const subscription of this.subscriptions.values()) {
        this.ros.removeAllListeners(subscription.topic);
        subscription.ros = undefined;
      }
      this.lost();
    });
    // The close that follows an error does the rest; without a listener roslib would throw it.
    this.ros.on("error", () => undefined);
    setInterval(() => this.watch(), 1000);
  }

  connect(url: string): void {
    this.url = url;
    this.link.value = "connecting";
    this.ros.connect(url).catch(() => this.lost());
  }

  close(): void {
    clearTimeout(this.timer);
    this.url = "";
    this.ros.close();
  }

  /** Try now instead of at the end of the wait. */
  retry(): void {
    if (this.link.value === "open" || this.url === "") return;
    this.delay = RETRY_FIRST;
    clearTimeout(this.timer);
    this.connect(this.url);
  }

  /** Listen to a topic of `package/Type`; the newest only when the panel is slower than the topic. */
  subscribe<T>(
    topic: string,
    type: string,
    heard: (message: T, received: Received) => void,
    { throttle = 0, queue = 1 } = {},
  ): () => void {
    const subscription: Subscription = {
      topic,
      type,
      compression: 0,
      throttle,
      queue,
      heard: heard as Subscription["heard"],
      ros: undefined,
      faults: 0,
    };
    this.subscriptions.set(topic, subscription);
    if (this.ros.isConnected) this.listen(subscription);
    return () => {
      subscription.ros?.unsubscribe();
      if (this.subscriptions.get(topic) === subscription) this.subscriptions.delete(topic);
    };
  }

  /** Call a service. @throws Error with the reason: not connected, refused, or no answer in time. */
  call<T>(service: string, type: string, request: object): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.ros.isConnected) {
        reject(new Error("not connected to the box"));
        return;
      }
      const timer = setTimeout(
        () => reject(new Error(`${service} did not answer within ${ANSWER_WITHIN / 1000} s`)),
        ANSWER_WITHIN,
      );
      const answered = (settle: () => void): void => {
        clearTimeout(timer);
        settle();
      };
      new Service<object, T>({ ros: this.ros, name: service, serviceType: rosType(type, "srv") }).callService(
        request,
        (values) =>
          answered(() => {
            resolve(this.whole<T>(`${type}_Response`, values));
          }),
        (reason) => answered(() => reject(new Error(reasonOf(reason)))),
      );
    });
  }

  /** Send an action goal. @returns how to cancel it. */
  sendGoal<Feedback, Result>(
    action: string,
    type: string,
    goal: object,
    on: { feedback: (f: Feedback) => void; result: (r: Result) => void; failed: (reason: string) => void },
  ): () => void {
    if (!this.ros.isConnected) {
      on.failed("not connected to the box");
      return () => undefined;
    }
    const client = new Action<object, Feedback, Result>({
      ros: this.ros,
      name: action,
      actionType: rosType(type, "action"),
    });
    const id = client.sendGoal(
      goal,
      (values) => on.result(this.whole<Result>(`${type}_Result`, values)),
      (values) => on.feedback(this.whole<Feedback>(`${type}_Feedback`, values)),
      (reason) => on.failed(reasonOf(reason)),
    );
    return () => {
      if (id !== undefined && this.ros.isConnected) client.cancelGoal(id);
    };
  }

  private open(url: string): Transport {
    this.socket = new WebSocket(url);
    const transport = new Transport(this.socket, this.traffic);
    transport.on("message", (message) => {
      const status = message as Status;
      if (status.op === "status") this.complained(status);
    });
    return transport;
  }

  private lost(): void {
    this.link.value = "lost";
    clearTimeout(this.timer);
    if (this.url === "") return;
    // Spread, so that a room full of consoles does not come back in one instant.
    const wait = this.delay * (0.75 + Math.random() / 2);
    this.delay = Math.min(this.delay * 2, RETRY_MOST);
    this.timer = setTimeout(() => this.connect(this.url), wait);
  }

  private watch(): void {
    if (!this.ros.isConnected) return;
    const silence = performance.now() - this.traffic.last;
    if (silence > DEAD_AFTER) this.socket?.close();
    else this.link.value = silence > SILENT_AFTER ? "silent" : "open";
  }

  private listen(subscription: Subscription): void {
    const { topic, type } = subscription;
    subscription.ros = new Topic({
      ros: this.ros,
      name: topic,
      messageType: rosType(type, "msg"),
      compression: COMPRESSIONS[subscription.compression] ?? "none",
      throttle_rate: subscription.throttle,
      queue_length: subscription.queue,
      reconnect_on_close: false,
    });
    subscription.ros.subscribe((message: unknown) => this.received(subscription, message));
  }

  private received(subscription: Subscription, message: unknown): void {
    const raw = (message as { bytes?: unknown }).bytes;
    try {
      if (raw instanceof Uint8Array) {
        const received = { bytes: raw, size: raw.byteLength };
        subscription.heard(decode(subscription.type, raw) as never, received);
      } else {
        const received = { bytes: undefined, size: 1000 };
        subscription.heard(normalise(subscription.type, message) as never, received);
      }
    } catch (error) {
      // Said once a topic: a mismatch of versions would say it ten times a second.
      if (subscription.faults++ === 0) {
        this.onComplaint(`${subscription.topic} cannot be read (${String(error)}): do box and panel come from one build?`);
      }
      console.error(subscription.topic, error);
    }
  }

  private complained(status: Status): void {
    if (status.level !== "error" && status.level !== "warning") return;
    const text = status.msg ?? "";
    for (const subscription of this.subscriptions.values()) {
      const meant = status.id !== undefined && status.id === subscription.ros?.subscribeId;
      const next = subscription.compression + 1;
      if (meant && /compress|cbor/i.test(text) && next < COMPRESSIONS.length) {
        subscription.compression = next;
        subscription.ros?.unsubscribe();
        this.listen(subscription);
        return;
      }
    }
    if (status.level === "error") this.onComplaint(text);
  }

  /** Values as decoded ones look, where this build knows the type; else as they came. */
  private whole<T>(type: string, values: unknown): T {
    try {
      return normalise<T>(type, values);
    } catch {
      return values as T;
    }
  }
}

function reasonOf(reason: unknown): string {
  if (typeof reason === "string") return reason === "" ? "refused without a reason" : reason;
  const message = (reason as { message?: unknown } | undefined)?.message;
  return typeof message === "string" ? message : JSON.stringify(reason);
}
