// The questions, with scripts: everything that a page without them does by posting, done here without leaving it.

import { findQuestions, read, summarise } from "./answers.js";
import { liven } from "./choices.js";
import { make, say, untilOnline } from "./dom.js";
import { busyCount, fileNames, filesSettled, problemsOfFiles, startFiles } from "./files.js";
import { forgetAll } from "./keeping.js";
import { momentText } from "./moments.js";
import { forget, problemsOf, saveAll, saveSoon, startSaving, unsavedIds } from "./saving.js";
import * as steps from "./steps.js";
import { durationText, form, state, t } from "./texts.js";

const next = document.getElementById("next");
const notices = document.getElementById("notices");
const PLACE = `fieldpack.place.${state.submission}`;
const MINUTE_MS = 60_000;
const SHOW_LEFT_MS = 15 * MINUTE_MS;

steps.startSteps(onEnter);
watchPictures();
const questions = findQuestions(form);
const refreshers = new Map();
for (const question of questions.values()) refreshers.set(question.id, liven(question));
startSaving(questions, (question) => refreshers.get(question.id)());
await startFiles(questions);
wire();
watchDeadline();
goToPlace();
document.documentElement.dataset.ready = "";

const problems = (question) => (question.type === "file_upload" ? problemsOfFiles(question) : problemsOf(question));

function wire() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter?.value === "back") goBack();
    else if (steps.current === "review") submit();
    else goOn();
  });
  // a question that was wrong is looked at again as soon as it changes
  for (const kind of ["input", "change", "files"]) {
    form.addEventListener(kind, (event) => {
      const element = event.target.closest?.("[data-item]");
      const question = element?.classList.contains("wrong") && questions.get(JSON.parse(element.dataset.item).id);
      if (!question) return;
      steps.mark(question, problems(question));
      if (!form.querySelector("section:not([hidden]) .wrong")) steps.clearErrors();
    });
  }
  form.addEventListener("click", (event) => {
    const link = event.target.closest("[data-goto]");
    if (!link) return;
    event.preventDefault();
    steps.goTo(questions.get(link.dataset.question));
  });
  addEventListener("beforeunload", (event) => {
    if (!state.preview && (unsavedIds().length || busyCount())) event.preventDefault();
  });
}

/** A picture that doesn't come is replaced by its words. */
function watchPictures() {
  for (const image of form.querySelectorAll("figure img")) {
    image.addEventListener("error", () => image.replaceWith(
      make("p", { class: "image-missing", dir: "auto" }, t("form.image_missing", { alt: image.alt }))), { once: true });
    // it may have failed before anyone listened: ask again
    if (image.complete && image.naturalWidth === 0) image.setAttribute("src", image.getAttribute("src"));
  }
}

/** Who comes back goes on where they were on this device; else the server has chosen the page. */
function goToPlace() {
  let place = null;
  try { place = localStorage.getItem(PLACE); } catch { /* nothing kept */ }
  const step = place === "review" ? place : Number(place);
  const resumed = new URLSearchParams(location.search).has("resumed");
  if (resumed) history.replaceState({ step: steps.current }, "", state.base + steps.current);
  if (resumed && step !== steps.current && steps.has(step)) steps.show(step, { push: false, replace: true });
  else onEnter(steps.current);
}

function onEnter(step) {
  saveSoon();
  try { localStorage.setItem(PLACE, String(step)); } catch { /* then the newest answer says where it was */ }
  if (step === "review") fillReview();
}

function fillReview() {
  for (const question of questions.values()) {
    const files = question.type === "file_upload";
    const lines = files ? fileNames(question) : summarise(question, read(question));
    const none = files ? t("form.no_files") : t("form.no_answer");
    document.querySelector(`[data-review="${question.id}"] .given`).replaceChildren(
      ...(lines.length ? lines.map((line) => make("p", { dir: "auto" }, line)) : [make("p", { class: "none" }, none)]));
  }
}

function findWrong(among) {
  const wrong = new Map();
  for (const question of among) {
    const messages = problems(question);
    steps.mark(question, messages);
    if (messages.length) wrong.set(question, messages);
  }
  return wrong;
}

function goBack() {
  const step = steps.before(steps.current);
  if (steps.has(step)) steps.show(step);
  else if (state.preview) location.assign(`${state.base}start`);
}

function goOn() {
  const here = [...questions.values()].filter((question) => steps.stepOf(question) === steps.current);
  const wrong = findWrong(here);
  const go = () => steps.show(steps.after(steps.current));
  if (wrong.size) steps.showErrors(wrong, go, t("form.skip"));
  else go();
}

let submitting = false;

async function submit() {
  if (submitting) return;
  submitting = true;
  next.setAttribute("aria-disabled", "true");
  const status = notices.querySelector(".submitting") ?? notices.appendChild(make("p", { class: "notice submitting", role: "status" }));
  status.hidden = false;
  try {
    say(status, t("form.submitting"));
    status.scrollIntoView({ block: "nearest" });
    await filesSettled((count) => say(status, t("form.waiting", { count })));
    await saveAll(() => say(status, t("form.waiting_answers")));
    fillReview();
    const wrong = findWrong(questions.values());
    if (wrong.size) {
      status.hidden = true;
      steps.showErrors(wrong);
      return;
    }
    if (state.preview) { location.assign(`${state.base}done`); return; }
    say(status, t("form.submitting"));
    await handIn(status);
  } finally {
    submitting = false;
    next.removeAttribute("aria-disabled");
  }
}

/** Submit; asking again after a broken connection is safe, the server answers the same. */
async function handIn(status) {
  for (let failures = 0; ; failures += 1) {
    let response;
    let body;
    try {
      response = await fetch(`${state.api}/submit`, { method: "POST", signal: AbortSignal.timeout(60_000) });
      body = await response.json();
    } catch {
      say(status, t("form.submit_failed", { detail: t("form.no_connection") }));
      await untilOnline(Math.min(1000 * 2 ** failures, 10_000));
      continue;
    }
    if (response.ok) {
      forget();
      await forgetAll();
      try { localStorage.removeItem(PLACE); } catch { /* nothing kept */ }
      location.assign(body.completion_url || `${state.base}done`);
      return;
    }
    if (response.status === 400) {
      // the server has something else than this page, from another tab or device: let it show what, and what is wrong
      form.action = `${state.base}review`;
      form.submit();
      return;
    }
    if (response.status >= 500 || response.status === 429) {
      const asked = Number(response.headers.get("Retry-After")) * 1000 || 1000 * 2 ** failures;
      await untilOnline(Math.min(asked, 10_000));
      continue;
    }
    say(status, response.status === 409 ? t("saving.closed") : t("saving.session"));
    return;
  }
}

function watchDeadline() {
  const line = document.getElementById("deadline");
  if (!line) return;
  // from what the server says is left: this device's clock may be wrong
  const at = new Date(Date.now() + Number(line.dataset.left) * 1000);
  const sameDay = at.toDateString() === new Date().toDateString();
  const time = sameDay ? momentText(at, { timeStyle: "short" }) : momentText(at);
  const left = make("span", { role: "status" });
  line.replaceChildren(`${t("form.deadline", { time })} `, left);
  const tick = () => {
    const rest = at - Date.now();
    if (rest <= 0) {
      line.remove();
      notices.append(make("p", { class: "notice warn", role: "status", id: "late" }, t("form.late")));
      return;
    }
    if (rest < SHOW_LEFT_MS) say(left, `(${t("time.left", { time: durationText(rest / 1000) })})`);
    setTimeout(tick, Math.min(rest, rest < SHOW_LEFT_MS ? MINUTE_MS : rest - SHOW_LEFT_MS, 2 ** 31 - 1));
  };
  tick();
}
