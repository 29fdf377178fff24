// Answers are saved as they are given: at once on this device, soon after on the server, and again until it
// worked. Every save names the revision it builds on, so that two tabs don't overwrite each other unseen.

import { check, isSame, isSavable, isTouched, isUnclear, read, summarise, write } from "./answers.js";
import { make, say, sleep, untilOnline } from "./dom.js";
import { state, t } from "./texts.js";

const DEBOUNCE_MS = 500;
const NEIGHBOUR_MS = 150;    // what is chosen, too, waits for what changes right after it
const SLOW_MS = 400;
const TIMEOUT_MS = 20_000;
const LONGEST_WAIT_MS = 15_000;
const MOST_SENT = 5;         // answers of which it is remembered that they may have been saved
const LAST_BYTES = 60_000;   // browsers let requests that outlive their page hold 64 KiB together
const ENTRY_BYTES = 80;      // an id and a revision around each answer
const REFUSED = [400, 412, 413];   // what is said of one answer, not of all
const KEY = `fieldpack.answers.${state.submission}`;
const keyOf = (id) => `${KEY}.${id}`;   // one for each answer: tabs don't write over each other's
const line = document.getElementById("saving");

// question id -> {answer, revision, due, sent}: `sent` are the answers that went out for this revision, and of which nobody
// knows whether they were saved
const unsaved = new Map();
const kept = new Map();      // question id -> what this tab has written to the device of it
const alone = new Set();     // question ids that are saved by themselves, since a request with others was refused
const stuck = new Map();     // question ids that wait for a person -> why, in words: a conflict, or a refusal
let questions;
let onWritten;
let running = null;
let retryAfter = 0;          // how long the server asked us to wait, in ms; 0 when it did not
let ended = false;
let savedOnce = false;

/** Start: take up what an earlier visit could not save, or was given before the scripts came, and listen. */
export function startSaving(allQuestions, refresh) {
  questions = allQuestions;
  onWritten = refresh;
  if (state.preview) return;
  const touched = [...questions.values()].filter((question) => (
    question.type !== "file_upload" && (isTouched(question) || state.unsaved.includes(question.id))));
  for (const [id, { answer, revision, sent = [] }] of Object.entries(readKept())) {
    const question = questions.get(id);
    if (!question || touched.includes(question)) continue;
    if (isSame(read(question), answer)) { keep(id); continue; }
    write(question, answer);
    onWritten(question);
    unsaved.set(id, { answer, revision, due: 0, sent });
  }
  for (const question of touched) unsaved.set(question.id, { answer: read(question), revision: question.revision, due: 0, sent: [] });
  for (const id of unsaved.keys()) keep(id);
  forgetOldKept();
  savedOnce = [...questions.values()].some((question) => question.revision > 0);
  for (const question of questions.values()) {
    if (question.type === "file_upload") continue;
    question.element.addEventListener("input", (event) => {
      if (!event.target.closest(".conflict")) note(question, event.target.matches("textarea, [type=text]") ? DEBOUNCE_MS : NEIGHBOUR_MS);
    });
  }
  if (savedOnce && !unsaved.size) show(t("saving.saved"), "done");
  addEventListener("pagehide", sendLast);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") sendLast(); });
  wake();
}

function readKept() {
  const found = { ...readEntry(KEY) };   // pages of before kept all answers together
  for (const id of questions.keys()) {
    const entry = readEntry(keyOf(id), (text) => kept.set(id, text));
    if (entry) found[id] = entry;
  }
  return found;
}

function readEntry(key, note = () => {}) {
  try {
    const text = localStorage.getItem(key);
    if (text !== null) note(text);
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function forgetOldKept() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // as in `keep`
  }
}

/** Keep on this device what is unsaved of an answer, or forget what this tab has kept of it; not what another has. */
function keep(id) {
  try {
    const entry = unsaved.get(id);
    if (entry) {
      const { answer, revision, sent } = entry;
      const text = JSON.stringify({ answer, revision, sent });
      localStorage.setItem(keyOf(id), text);
      kept.set(id, text);
    } else {
      if (localStorage.getItem(keyOf(id)) === kept.get(id)) localStorage.removeItem(keyOf(id));
      kept.delete(id);
    }
  } catch {
    // no room or no permission: the server's copy is the one that counts
  }
}

function note(question, wait) {
  const { id } = question;
  if (!question.conflict) stuck.delete(id);
  const { revision, sent } = unsaved.get(id) ?? { revision: question.revision, sent: [] };
  unsaved.set(id, { answer: read(question), revision, due: Date.now() + wait, sent });
  keep(id);
  wake();
}

/** An answer goes out: until the server has said what became of it, it may have been saved. */
function going(id, entry) {
  if (entry.sent.some((each) => isSame(each, entry.answer))) return;
  entry.sent = [...entry.sent, entry.answer].slice(-MOST_SENT);
  const latest = unsaved.get(id);
  if (latest) latest.sent = entry.sent;
  keep(id);
}

const canSend = (id) => !stuck.has(id) && isSavable(questions.get(id), unsaved.get(id).answer);
const waiting = () => [...unsaved.keys()].filter(canSend);

/** Ids of answers that are not on the server yet. */
export const unsavedIds = () => [...unsaved.keys()];

/** Send what was given so far without waiting for more: whoever leaves a step is done with it. */
export function saveSoon() {
  for (const entry of unsaved.values()) entry.due = 0;
  wake();
}

/** Save everything now; resolves when nothing is left that can be saved. `onWait` is told of waiting. */
export async function saveAll(onWait = () => {}) {
  saveSoon();
  const timer = setTimeout(onWait, 1500);
  while (waiting().length && !ended) await sleep(60);
  clearTimeout(timer);
}

/** Forget what this device keeps: it was submitted. */
export function forget() {
  ended = true;
  unsaved.clear();
  try {
    for (const id of questions.keys()) localStorage.removeItem(keyOf(id));
  } catch {
    // as in `keep`
  }
}

function wake() {
  running ??= run().finally(() => { running = null; if (waiting().length && !ended) wake(); });
}

async function run() {
  let failures = 0;
  let pause = null;
  while (!ended) {
    const ids = waiting();
    if (!ids.length) break;
    const due = Math.min(...ids.map((id) => unsaved.get(id).due));
    if (due > Date.now()) { await sleep(Math.min(due - Date.now(), 50)); continue; }
    const now = ids.filter((id) => unsaved.get(id).due <= Date.now() + NEIGHBOUR_MS);
    const together = now.filter((id) => !alone.has(id));
    retryAfter = 0;
    const slow = setTimeout(() => { if (!failures) show(t("saving.saving"), ""); }, SLOW_MS);
    const outcome = together.length > 1 ? await sendTogether(together) : await send(now[0]);
    clearTimeout(slow);
    if (outcome === "again") {
      failures += 1;
      pause = retryAfter || Math.min(1000 * 2 ** (failures - 1), LONGEST_WAIT_MS);
      show(retryAfter ? t("saving.busy") : navigator.onLine ? t("saving.unsaved") : t("saving.offline"), "trouble");
      await untilOnline(pause);
    } else {
      failures = 0;
    }
  }
  if (ended || waiting().length) return;
  if (stuck.size) { show([...stuck.values()].at(-1), "trouble"); return; }
  if ([...unsaved].some(([id, { answer }]) => isUnclear(questions.get(id), answer))) show(t("saving.unclear"), "trouble");
  else if (savedOnce) show(t("saving.saved"), "done");
}

function show(text, kind) {
  line.className = `saving ${kind}`;
  say(line, text);
}

function request(id, entry, options = {}) {
  return fetch(`${state.api}/answers/${id}`, {
    method: "PUT",
    headers: { "Content-Type": "application/json", "If-Match": `"${entry.revision}"` },
    body: JSON.stringify(entry.answer),
    ...options,
  });
}

/** Several answers at once: all are saved or none. */
function requestTogether(entries, options = {}) {
  return fetch(`${state.api}/answers`, {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(Object.fromEntries(
      [...entries].map(([id, { answer, revision }]) => [id, { ...answer, revision }]))),
    ...options,
  });
}

async function sendTogether(ids) {
  const entries = new Map(ids.map((id) => [id, unsaved.get(id)]));
  for (const [id, entry] of entries) going(id, entry);
  let response;
  let body;
  try {
    response = await requestTogether(entries, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    body = await response.json();
  } catch {
    return "again";
  }
  if (response.ok) {
    settleAll(entries, body.answers);
    return "done";
  }
  if (!REFUSED.includes(response.status)) return judge(response);
  for (const id of ids) alone.add(id);   // one of them was refused: the others are saved, and that one is asked about
  return "done";
}

function settleAll(entries, saved) {
  for (const [id, entry] of entries) {
    questions.get(id).revision = saved[id].revision;
    settle(id, entry);
  }
}

/** What a refusal means that is of the submission, not of an answer. */
function judge(response) {
  switch (response.status) {
    case 401: case 403: case 404: return end(t("saving.session"));
    case 409: return end(t("saving.closed"));
    default:
      retryAfter = Math.min(Number(response.headers.get("Retry-After")) * 1000 || 0, LONGEST_WAIT_MS);
      return "again";
  }
}

async function send(id) {
  const question = questions.get(id);
  const entry = unsaved.get(id);
  going(id, entry);
  let response;
  let body;
  try {
    response = await request(id, entry, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    body = await response.json();
  } catch {
    return "again";
  }
  if (response.ok) {
    question.revision = body.revision;
    alone.delete(id);
    settle(id, entry);
    return "done";
  }
  switch (response.status) {
    case 412: return resolveConflict(question, entry);
    case 400: case 413:
      stuck.set(id, t("saving.refused"));
      show(t("saving.refused"), "trouble");
      return "done";
    default: return judge(response);
  }
}

/** Saved: nothing is left of this answer, unless it changed meanwhile. */
function settle(id, entry) {
  savedOnce = true;
  questions.get(id).settled = entry.answer.value;
  const latest = unsaved.get(id);   // gone when the same answer went out twice, as the page was put aside
  if (!latest) return;
  if (latest === entry || isSame(latest.answer, entry.answer)) unsaved.delete(id);
  else rebase(id, latest);
  keep(id);
}

/** What is unsaved of an answer is of the revision that the server has now. */
function rebase(id, entry) {
  entry.revision = questions.get(id).revision;
  entry.sent = [];
}

function end(text) {
  ended = true;
  show(text, "trouble");
  return "done";
}

async function resolveConflict(question, entry) {
  let body;
  try {
    const response = await fetch(state.api, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) return "again";
    body = await response.json();
  } catch {
    return "again";
  }
  const other = body.answers[question.id] ?? null;
  const latest = unsaved.get(question.id);   // another request may have saved it, or some of it, meanwhile
  question.revision = body.revisions[question.id] ?? 0;
  if (!latest || latest.revision === question.revision) return "done";
  if (isSame(other, latest.answer)) { settle(question.id, latest); return "done"; }
  // of all that went out for one revision one was saved: it was this page, which did not hear of it
  const isOurs = [...entry.sent, ...latest.sent].some((each) => isSame(each, other));
  if (isOurs && question.revision === latest.revision + 1) {
    rebase(question.id, latest);
    keep(question.id);
    return "done";
  }
  ask(question, other);
  return "done";
}

/** Two versions of one answer: the participant decides. */
function ask(question, other) {
  question.conflict?.remove();
  stuck.set(question.id, t("saving.undecided"));
  const lines = summarise(question, other);
  const decide = (answer) => {
    question.conflict.remove();
    question.conflict = null;
    stuck.delete(question.id);
    if (answer !== undefined) {
      question.settled = answer?.value;
      write(question, answer);
      onWritten(question);
    }
    unsaved.set(question.id, { answer: read(question), revision: question.revision, due: 0, sent: [] });
    keep(question.id);
    // whoever marked the question as undecided looks again
    question.element.dispatchEvent(new Event("change", { bubbles: true }));
    question.element.querySelector("input:not([type=hidden]), textarea, select, summary")?.focus();
    wake();
  };
  question.conflict = make("div", { class: "notice warn conflict", role: "alert" },
    make("p", { dir: "auto" }, t("saving.conflict", { other: lines.length ? lines.join(", ") : t("form.no_answer") })),
    make("div", { class: "buttons" },
      make("button", { type: "button", onclick: () => decide() }, t("saving.keep_mine")),
      make("button", { type: "button", onclick: () => decide(other) }, t("saving.use_other"))));
  question.element.querySelector(".error").after(question.conflict);
  show(t("saving.undecided"), "trouble");
}

/** The page may be gone in a moment: what is still unsaved goes out in requests that outlive it. */
function sendLast() {
  if (ended) return;
  const entries = new Map();
  let room = LAST_BYTES;
  for (const id of waiting()) {
    const entry = unsaved.get(id);
    const size = new Blob([JSON.stringify(entry.answer)]).size + ENTRY_BYTES;
    if (entry.isLeaving || size > room) continue;   // what does not go out stays on this device, and is sent later
    room -= size;
    entry.isLeaving = true;   // a page that is hidden, and then left, says it once
    going(id, entry);
    entries.set(id, entry);
  }
  if (!entries.size) return;
  requestTogether(entries, { keepalive: true }).then(async (response) => {
    if (response.ok) settleAll(entries, (await response.json()).answers);
    else if (REFUSED.includes(response.status)) sendEach(entries);
  }).catch(() => {}).finally(() => { for (const entry of entries.values()) entry.isLeaving = false; });
}

/** One of several was refused: the others are not to suffer for it, if the page is still there. */
function sendEach(entries) {
  for (const [id, entry] of entries) {
    request(id, entry, { keepalive: true }).then(async (response) => {
      if (response.ok) settleAll(new Map([[id, entry]]), { [id]: await response.json() });
    }).catch(() => {});
  }
}

/** What keeps an answer from being submitted: a rule it breaks, or that the server doesn't have it as it stands here. */
export function problemsOf(question) {
  const found = check(question, read(question));
  return found.length || !stuck.has(question.id) ? found : [stuck.get(question.id)];
}
