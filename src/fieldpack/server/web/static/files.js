// The list of files below an upload question: choosing, dropping, pasting, checking, and showing how it goes.

import { make, say, sleep } from "./dom.js";
import { keptUploads } from "./keeping.js";
import { Listing, extensionOf, previewOf } from "./sniff.js";
import { durationText, sizeText, state, t } from "./texts.js";
import { Transfer, canHash, fingerprintOf } from "./transfer.js";

const AT_ONCE = 2;
const HEAD_BYTES = 4096;
const REDRAW_MS = 200;

const lists = [];
const removals = new Set();   // that the server has not answered yet

/** Start every upload question; files of earlier visits go on. */
export async function startFiles(questions) {
  const kept = state.preview ? new Map() : await keptUploads();
  for (const question of questions.values()) {
    if (question.type === "file_upload") lists.push(new FileList(question, kept));
  }
  document.addEventListener("paste", onPaste);
  // a file that misses its place must not replace the page
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => { if (!event.defaultPrevented && carriesFiles(event)) event.preventDefault(); });
  }
  schedule();
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function onPaste(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  const visible = lists.filter((list) => list.element.offsetParent !== null);
  const list = visible.find((each) => each.element.contains(document.activeElement)) ?? visible[0];
  if (!files.length || !list) return;
  event.preventDefault();
  list.add(files.map((file) => (
    // what is pasted is always called image.png: tell them apart
    file.name === "image.png" ? new File([file], `${t("files.pasted")}-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`, { type: file.type, lastModified: file.lastModified }) : file)));
}

const transfers = () => lists.flatMap((list) => list.transfers);

/** Let the next ones go, a few at a time; not before what was removed has made room for them. */
function schedule() {
  if (removals.size) return;
  const running = transfers().filter((each) => each.running).length;
  const next = transfers().filter((each) => each.state === "queued" && !each.running).slice(0, Math.max(0, AT_ONCE - running));
  for (const transfer of next) {
    transfer.running = true;
    transfer.run().finally(() => { transfer.running = false; schedule(); });
  }
}

export const busyCount = () => transfers().filter((each) => each.busy).length + removals.size;

/** Resolves when no upload is under way, nor the removal of one; `onWait` is told how many there are. */
export async function filesSettled(onWait) {
  for (let count = busyCount(); count; count = busyCount()) {
    onWait(count);
    await sleep(150);
  }
}

const listOf = (question) => lists.find((list) => list.question === question);

export const fileNames = (question) => listOf(question).counted.map((each) => each.name);

export function problemsOfFiles(question) {
  const list = listOf(question);
  const count = list.counted.length;
  // one that was not accepted as well: whoever submits should know that it isn't there
  if (list.transfers.some((each) => !each.busy && each.state !== "done" && each.state !== "shown")) return [t("problem.uploading")];
  if (!count && !question.required) return [];
  if (!count) return [t("problem.missing")];
  if (count < question.min_files) return [t("problem.few_files", { bound: question.min_files, count })];
  if (count > question.max_files) return [t("problem.many_files", { bound: question.max_files, count })];
  return [];
}

class FileList {
  constructor(question, kept) {
    this.question = question;
    this.listing = new Listing(question.types);
    this.element = question.element;
    this.list = this.element.querySelector(".files");
    this.messages = this.element.querySelector(".messages");
    this.rows = new Map();
    this.list.replaceChildren();
    this.transfers = state.files.filter((file) => file.instruction_id === question.id)
      .map((file) => this.restore(file, kept));
    this.transfers.forEach((each) => this.draw(each));
    this.listen();
    if (!canHash && !state.preview) this.messages.before(make("p", { class: "hint unchecked" }, t("files.unchecked")));
  }

  /** Failed ones are no uploads any more. */
  get counted() { return this.transfers.filter((each) => each.state !== "failed"); }

  restore(file, kept) {
    const url = `${state.api}/uploads/${file.id}`;
    const record = kept.get(url);
    const options = {
      item: this.question.id, name: file.file_name, size: file.size_bytes, url, offset: file.offset,
      onChange: (transfer) => this.changed(transfer),
    };
    if (file.status === "complete") {
      return Object.assign(new Transfer({ ...options, state: "done" }), { sha256: file.sha256 });
    }
    if (!record) return new Transfer({ ...options, state: "elsewhere" });
    const { fingerprint } = record;
    return new Transfer({ ...options, fingerprint, file: record.file, state: record.file ? "queued" : "detached" });
  }

  listen() {
    for (const input of this.element.querySelectorAll("input[type=file]")) {
      // Enter would send the form; on what looks like a button it opens it
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter") { event.preventDefault(); input.click(); }
      });
      const take = () => {
        const files = [...input.files];
        input.value = "";
        this.add(files);
      };
      input.addEventListener("change", take);
      if (input.files.length) take();   // chosen before the scripts came
    }
    const zone = this.element.querySelector(".upload");
    let depth = 0;
    const over = (change) => { depth = Math.max(0, depth + change); zone.classList.toggle("over", depth > 0); };
    this.element.addEventListener("dragenter", (event) => { if (carriesFiles(event)) { event.preventDefault(); over(1); } });
    this.element.addEventListener("dragleave", () => over(-1));
    this.element.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
    this.element.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      over(-depth);
      this.add([...event.dataTransfer.files]);
    });
  }

  tell(text, plain = false) {
    this.messages.append(make("p", { dir: "auto", class: plain ? "plain" : null }, text));
  }

  async add(files) {
    this.messages.replaceChildren();
    // by name first, so that words come before anything is read
    for (const file of files) await this.addOne(file);
    schedule();
  }

  async addOne(file) {
    const { types, max_bytes: most, max_files: count } = this.question;
    const names = types.join(" ");
    if (!this.listing.admitsName(file.name)) {
      return this.tell(t("files.wrong_type", { name: file.name, type: extensionOf(file.name), types: names }));
    }
    if (file.size === 0 && !this.listing.admitsEmpty(file.name)) return this.tell(t("files.empty", { name: file.name }));
    if (file.size > most) {
      return this.tell(t("files.too_large", { name: file.name, size: sizeText(file.size), max: sizeText(most) }));
    }
    let head;
    let fingerprint;
    try {
      head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
      fingerprint = await fingerprintOf(file);
    } catch {
      return this.tell(t("files.unreadable", { name: file.name }));
    }
    const kind = this.listing.refuse(file.name, head);
    if (kind === "data") return this.tell(t("files.wrong_kind", { name: file.name, types: names }));
    if (kind) return this.tell(t("files.wrong_content", { name: file.name, kind: kindText(kind), types: names }));
    const known = this.transfers.find((each) => each.fingerprint === fingerprint && each.state !== "failed");
    if (known?.state === "detached" || known?.state === "unreadable") return this.attach(known, file, head);
    if (known) return this.tell(t("files.twice", { name: file.name }), true);
    if (this.counted.length >= count) return this.tell(t("files.too_many", { name: file.name, count }));
    const transfer = new Transfer({
      item: this.question.id, name: file.name, size: file.size, file, fingerprint,
      state: state.preview ? "shown" : "queued", onChange: (each) => this.changed(each),
    });
    transfer.preview = previewOf(head);
    this.transfers.push(transfer);
    this.draw(transfer);
    say(this.rows.get(transfer).spoken, t("files.announce_added", { name: file.name }));
    this.touched();
    return undefined;
  }

  attach(transfer, file, head) {
    transfer.file = file;
    transfer.preview = previewOf(head);
    this.rows.get(transfer).thumb.replaceWith(this.rows.get(transfer).thumb = thumbOf(transfer));
    transfer.change("queued");
    schedule();
  }

  touched() {
    this.element.dispatchEvent(new CustomEvent("files", { bubbles: true }));
  }

  changed(transfer) {
    const row = this.rows.get(transfer);
    if (!row) return;
    const now = performance.now();
    if (row.shown === transfer.state && now - row.at < REDRAW_MS && transfer.state === "sending") return;
    if (transfer.state === "done" && row.shown !== "done") {
      say(row.spoken, t("files.announce_done", { name: transfer.name }));
      this.touched();
    }
    if (["failed", "unreadable"].includes(transfer.state) && row.shown !== transfer.state) {
      say(row.spoken, `${transfer.name}: ${describe(transfer)}`);
    }
    row.at = now;
    this.fill(transfer, row);
  }

  draw(transfer) {
    const row = {
      state: make("span", { class: "file-state" }),
      bar: make("progress", { max: transfer.size || 1, "aria-label": t("files.progress_of", { name: transfer.name }) }),
      receipt: make("p", { class: "receipt" }),
      buttons: make("div", { class: "buttons" }),
      spoken: make("span", { class: "visually-hidden", role: "status" }),
      thumb: thumbOf(transfer),
      at: 0,
      shown: "",
    };
    row.element = make("li", { class: "file" }, row.thumb,
      make("span", { class: "file-name", dir: "auto", title: transfer.name }, transfer.name),
      row.state, row.bar, row.receipt, row.buttons, row.spoken);
    this.rows.set(transfer, row);
    this.list.append(row.element);
    this.fill(transfer, row);
  }

  fill(transfer, row) {
    say(row.state, describe(transfer));
    row.bar.hidden = ["done", "failed", "shown", "unreadable"].includes(transfer.state);
    row.bar.value = transfer.sent;
    row.receipt.hidden = !transfer.sha256;
    if (transfer.sha256) {
      row.receipt.title = transfer.sha256;
      say(row.receipt, t("files.receipt", { sha256: `${transfer.sha256.slice(0, 16)}…` }));
    }
    if (row.shown === transfer.state) return;
    row.shown = transfer.state;
    row.element.className = `file ${transfer.state === "unreadable" ? "failed" : transfer.state}`;
    const focused = row.buttons.contains(document.activeElement);
    row.buttons.replaceChildren(...this.buttonsOf(transfer));
    if (focused) row.buttons.querySelector("button")?.focus();
  }

  buttonsOf(transfer) {
    const button = (action, act) => make("button", {
      type: "button", onclick: act, "aria-label": t("files.action_of", { action, name: transfer.name }),
    }, action);
    const found = [];
    if (["sending", "queued", "waiting", "checking"].includes(transfer.state)) {
      found.push(button(t("files.pause"), () => transfer.interrupt("paused")));
    }
    const again = () => { transfer.change("queued"); schedule(); };
    if (transfer.state === "paused") found.push(button(t("files.resume"), again));
    if (transfer.state === "failed" && transfer.file) {
      found.push(button(t("again"), () => { transfer.tryAgain(); again(); }));
    }
    found.push(button(t("files.remove"), () => this.remove(transfer)));
    return found;
  }

  remove(transfer) {
    const row = this.rows.get(transfer);
    const going = transfer.remove().finally(() => { removals.delete(going); schedule(); });
    removals.add(going);
    this.transfers = this.transfers.filter((each) => each !== transfer);
    this.rows.delete(transfer);
    row.element.remove();
    this.messages.replaceChildren(make("p", { class: "plain" }, t("files.announce_removed", { name: transfer.name })));
    (this.list.querySelector("button") ?? this.element.querySelector("input[type=file]")).focus();
    this.touched();
    schedule();
  }
}

function thumbOf(transfer) {
  const label = make("span", { class: "thumb", "aria-hidden": "true" }, extensionOf(transfer.name).slice(1, 5) || "?");
  if (!transfer.file || !transfer.preview) return label;
  const url = URL.createObjectURL(transfer.file);
  const picture = transfer.preview === "image"
    ? make("img", { class: "thumb", alt: "", src: url })
    : make("video", { class: "thumb", src: url, muted: true, preload: "metadata", playsinline: true, tabindex: "-1", "aria-hidden": "true" });
  picture.addEventListener("error", () => { URL.revokeObjectURL(url); picture.replaceWith(label); }, { once: true });
  return picture;
}

function describe(transfer) {
  const size = sizeText(transfer.size);
  const done = sizeText(transfer.sent);
  switch (transfer.state) {
    case "queued": return t("files.queued");
    case "checking": return t("files.checking");
    case "sending": {
      const parts = [t("files.sending", { done, size })];
      if (transfer.speed > 0) {
        parts.push(t("files.speed", { speed: sizeText(transfer.speed) }));
        parts.push(t("time.left", { time: durationText((transfer.size - transfer.sent) / transfer.speed) }));
      }
      return parts.join(" · ");
    }
    case "paused": return t("files.paused", { done, size });
    case "waiting": return t("files.waiting", { done, size });
    case "finishing": return t("files.finishing");
    case "done": return t("files.received", { size });
    case "detached": return t("files.detached", { done, size });
    case "elsewhere": return t("files.elsewhere", { done, size });
    case "other_tab": return t("files.other_tab");
    case "shown": return t("files.preview");
    case "unreadable": return t("files.changed");
    case "failed": return t("files.failed", { detail: transfer.words });
    default: return "";
  }
}

/** What a file's content is, by the words of the table of file types. */
function kindText(kind) {
  switch (kind) {
    case "picture": return t("files.kind.picture");
    case "video": return t("files.kind.video");
    case "audio": return t("files.kind.audio");
    case "pdf": return t("files.kind.pdf");
    case "archive": return t("files.kind.archive");
    case "document": return t("files.kind.document");
    case "text": return t("files.kind.text");
    case "web": return t("files.kind.web");
    default: return t("files.kind.program");
  }
}
