// One file on its way by tus 1.0: chunk by chunk, each with its checksum, on from where the server says it is.

import { sleep, untilOnline } from "./dom.js";
import { forgetUpload, keepUpload } from "./keeping.js";
import { state, t } from "./texts.js";

const TUS = { "Tus-Resumable": "1.0.0" };
const FIRST_CHUNK = 1 << 20;
const LEAST_CHUNK = 1 << 17;
const MOST_CHUNK = 8 << 20;
const QUICK_MS = 1000;
const LONG_MS = 6000;
const STALLED_MS = 30_000;
const LONGEST_WAIT_MS = 15_000;
const EDGE = 1 << 18;
const GIVEN_UP = [410, 415];
const PERSIST_MS = 20_000;   // until a request that hangs is sent anew
const LATE_MS = 2000;        // in which the server may still be putting on record what was sent before

export const canHash = Boolean(globalThis.crypto?.subtle);

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What makes the same file known again: name, size, time, and its first and last bytes. */
export async function fingerprintOf(file) {
  const facts = `${file.name}|${file.size}|${file.lastModified}`;
  if (!canHash) return facts;
  const edges = new Blob([file.slice(0, EDGE), file.slice(Math.max(0, file.size - EDGE))]);
  return `${facts}|${hex(await crypto.subtle.digest("SHA-256", await edges.arrayBuffer()))}`;
}

/** What one upload is known by, however often its beginning is sent. */
const makeKey = () => hex(crypto.getRandomValues(new Uint8Array(16)).buffer);

async function describeBytes(bytes) {
  const headers = { "Content-Type": "application/offset+octet-stream" };
  if (canHash) {
    headers["Upload-Checksum"] = `sha256 ${base64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)))}`;
  }
  return headers;
}

/** An answer that ends the transfer, by its status. */
class Refusal extends Error {
  constructor(status = 0) { super(`refused: ${status}`); this.status = status; }

  get words() {
    switch (this.status) {
      case 409: return t("files.refused.409");
      case 410: return t("files.refused.410");
      case 413: return t("files.refused.413");
      case 415: return t("files.refused.415");
      default: return t("files.refused.other");
    }
  }
}
const pathOf = (location) => new URL(location, document.baseURI).pathname;

class Unreadable extends Error {}
class Interrupted extends Error {}

/**
 * States: queued, checking, sending, paused, waiting (for the network), finishing, done, failed, unreadable,
 * detached (its file must be chosen again), elsewhere, other_tab, removed.
 */
export class Transfer {
  constructor({ item, name, size, file = null, url = null, offset = 0, state: at = "queued", fingerprint = "", onChange }) {
    Object.assign(this, { item, name, size, file, url, offset, fingerprint, onChange });
    this.state = at;
    this.sha256 = null;
    this.words = "";
    this.speed = 0;
    this.sent = offset;
    this.chunk = FIRST_CHUNK;
    this.xhr = null;
    this.stop = null;
    this.id = url?.split("/").pop() ?? null;
    this.key = makeKey();
    this.asking = null;   // the request that begins it, once it went out
  }

  change(at) {
    this.state = at;
    this.onChange(this);
  }

  get busy() { return ["queued", "checking", "sending", "waiting", "finishing", "other_tab"].includes(this.state); }

  /** Send until done, failed or interrupted. Only one tab at a time sends one upload. */
  async run() {
    this.stop = null;
    try {
      if (!this.url) await this.create();
      await this.alone(() => this.send());
    } catch (error) {
      if (error instanceof Interrupted) return;
      if (error instanceof Refusal) {
        this.words = error.words;
        this.refusedBy = error.status;
        forgetUpload(this.url);
        this.change("failed");
        return;
      }
      if (error instanceof Unreadable) { this.change("unreadable"); return; }
      throw error;
    }
  }

  async alone(act) {
    if (!navigator.locks) { await act(); return; }
    for (;;) {
      const had = await navigator.locks.request(`fieldpack ${this.url}`, { ifAvailable: true }, async (lock) => {
        if (!lock) return false;
        await act();
        return true;
      });
      if (had) return;
      this.change("other_tab");
      await sleep(3000);
      this.heed();
      await this.look();
      if (this.state === "done") return;
    }
  }

  /** After a failure: where the server has given the upload up, another one; else on with the same. */
  tryAgain() {
    if (GIVEN_UP.includes(this.refusedBy)) this.restart();
  }

  /** Begin anew, as another upload. */
  restart() {
    Object.assign(this, { url: null, offset: 0, sent: 0, key: makeKey(), asking: null });
  }

  heed() { if (this.stop) throw new Interrupted(); }

  interrupt(at) {
    this.stop = at;
    this.xhr?.abort();
    this.change(at);
  }

  /** Do `act` until it isn't the network or the server that fails. */
  async insist(act) {
    for (let failures = 0; ; failures += 1) {
      this.heed();
      let outcome;
      try {
        outcome = await act();
      } catch (error) {
        if (error instanceof Refusal || error instanceof Unreadable || error instanceof Interrupted) throw error;
        outcome = { again: true };
      }
      this.heed();
      if (!outcome?.again) return outcome;
      this.speed = 0;
      this.change("waiting");
      await untilOnline(outcome.after ?? Math.min(1000 * 2 ** failures, LONGEST_WAIT_MS));
    }
  }

  static async judge(response) {
    if (response.ok) return response;
    if (response.status === 429 || response.status >= 500) {
      const after = Number(response.headers.get("Retry-After")) * 1000;
      return { again: true, after: after || undefined };
    }
    throw new Refusal(response.status);
  }

  /** What begins the upload, or names the one that its key has begun. */
  describe() {
    const metadata = { instruction_id: this.item, filename: this.name, filetype: this.file.type || "application/octet-stream", key: this.key };
    const encoded = Object.entries(metadata).map(([key, value]) => (
      `${key} ${base64(new TextEncoder().encode(value.toWellFormed?.() ?? value))}`)).join(",");
    return { ...TUS, "Upload-Length": this.size, "Upload-Metadata": encoded };
  }

  async create() {
    this.change("checking");
    await this.insist(() => this.begin(this.describe()));
  }

  /** Begin the upload; a small file goes along, so that it is one request. Its key makes this safe to send again. */
  async begin(headers) {
    let bytes = null;
    let wanted = headers;
    if (this.size > 0 && this.size <= FIRST_CHUNK) {
      bytes = await this.readBytes(0, this.size);
      wanted = { ...headers, ...await describeBytes(bytes) };
      this.heed();
      this.change("sending");
    }
    this.asking = this.exchange("POST", `${state.api}/uploads`, wanted, bytes, 0);
    const { status, location: at, after } = await this.asking;
    if (status === 201) {
      this.url = pathOf(at);
      this.id = this.url.split("/").pop();
      keepUpload(this.url, this.item, this.file, this.fingerprint);
      return {};
    }
    this.sent = 0;
    if ([0, 429, 460].includes(status) || status >= 500) return { again: true, after };
    throw new Refusal(status);
  }

  async readBytes(from, to) {
    const piece = this.file.slice(from, to);
    let bytes;
    try {
      bytes = await piece.arrayBuffer();
    } catch {
      throw new Unreadable();
    }
    if (bytes.byteLength !== to - from || to === from) throw new Unreadable();
    return bytes;
  }

  /** Ask the server where the upload is. */
  async look() {
    try {
      const response = await this.insist(async () => Transfer.judge(await fetch(this.url, { cache: "no-store" })));
      const found = await response.json();
      if (found.status === "failed") throw new Refusal(415);
      this.offset = found.offset;
      this.sent = found.offset;
      if (found.status === "complete") {
        this.sha256 = found.sha256;
        await forgetUpload(this.url);
        this.change("done");
      }
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) throw error;
      await forgetUpload(this.url);   // swept away meanwhile: begin anew
      this.restart();
      await this.create();
    }
  }

  async send() {
    await this.look();
    let mismatches = 0;
    while (this.state !== "done") {
      this.heed();
      if (this.offset >= this.size) {
        this.change("finishing");
        await this.look();
        if (this.state !== "done") await sleep(500);
        continue;
      }
      const outcome = await this.insist(() => this.patch());
      if (outcome === "look") {
        mismatches += 1;
        if (mismatches > 8) throw new Refusal();
        await this.look();
      } else {
        mismatches = 0;
      }
    }
  }

  async patch() {
    const from = this.offset;
    const bytes = await this.readBytes(from, Math.min(from + this.chunk, this.size));
    const headers = { ...TUS, "Upload-Offset": from, ...await describeBytes(bytes) };
    this.heed();
    this.change("sending");
    const began = performance.now();
    const { status, offset, after } = await this.exchange("PATCH", this.url, headers, bytes, from);
    if (status !== 204) this.heed();
    if (status === 204) {
      const took = performance.now() - began;
      if (took < QUICK_MS) this.chunk = Math.min(this.chunk * 2, MOST_CHUNK);
      else if (took > LONG_MS) this.chunk = Math.max(this.chunk / 2, LEAST_CHUNK);
      this.offset = offset;
      this.sent = offset;
      this.onChange(this);
      return "sent";
    }
    this.sent = from;
    if (status === 0) {
      // whether the bytes arrived is not known: ask before sending any of them again
      this.chunk = Math.max(this.chunk / 2, LEAST_CHUNK);
      this.change("waiting");
      await untilOnline(navigator.onLine ? 700 : LONGEST_WAIT_MS);
      return "look";
    }
    if ([404, 409, 410, 460].includes(status)) return "look";
    if (status === 429 || status >= 500) return { again: true, after };
    throw new Refusal(status);
  }

  exchange(method, url, headers, bytes, from) {
    return new Promise((resolve) => {
      const xhr = new XMLHttpRequest();
      this.xhr = xhr;
      let stalled;
      const watch = () => {
        clearTimeout(stalled);
        stalled = setTimeout(() => xhr.abort(), STALLED_MS);
      };
      let last = performance.now();
      let before = 0;
      xhr.upload.onprogress = (event) => {
        watch();
        const now = performance.now();
        if (now - last > 250) {
          const speed = ((event.loaded - before) * 1000) / (now - last);
          this.speed = this.speed ? this.speed * 0.8 + speed * 0.2 : speed;
          [last, before] = [now, event.loaded];
        }
        this.sent = Math.min(from + event.loaded, this.size);
        this.onChange(this);
      };
      xhr.onloadend = () => {
        clearTimeout(stalled);
        removeEventListener("offline", offline);
        this.xhr = null;
        const now = Number(xhr.getResponseHeader("Upload-Offset"));
        const after = Number(xhr.getResponseHeader("Retry-After")) * 1000 || undefined;
        resolve({ status: xhr.status, offset: now, location: xhr.getResponseHeader("Location"), after });
      };
      const offline = () => xhr.abort();
      addEventListener("offline", offline);
      xhr.open(method, url);
      for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
      watch();
      xhr.send(bytes);
    });
  }

  /** Take the upload away, here and on the server. */
  async remove() {
    if (this.url) this.interrupt("removed");
    else { this.stop = "removed"; this.change("removed"); }   // the answer to what is on its way says what to remove
    await this.asking;
    if (this.url) { await this.removeAt(this.url); return; }
    // nobody heard the answer: the key says what it is called. The server may not be done with it yet, so it is asked twice
    for (let times = this.asking ? 2 : 0; times > 0; times -= 1) {
      const url = await persist("POST", `${state.api}/uploads`, this.describe());
      if (url) await this.removeAt(url);
      if (times > 1) await sleep(LATE_MS);
    }
  }

  async removeAt(url) {
    await forgetUpload(url);
    await persist("DELETE", url, TUS);
  }
}

/** Ask until it is neither the network nor the server that fails; where the upload is, if the answer says so. */
async function persist(method, url, headers) {
  for (let failures = 0; ; failures += 1) {
    try {
      const response = await fetch(url, { method, headers, keepalive: true, signal: AbortSignal.timeout(PERSIST_MS) });
      const at = response.headers.get("Location");
      if (response.status < 500 && response.status !== 429) return response.ok && at ? pathOf(at) : null;
    } catch {
      // the network: try again
    }
    await untilOnline(Math.min(1000 * 2 ** failures, LONGEST_WAIT_MS));
  }
}
