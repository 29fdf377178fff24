// Going from page to page without leaving the document, so that uploads go on and no connection is needed.

import { make, say } from "./dom.js";
import { form, state, t } from "./texts.js";

const pages = new Map();
const errors = document.getElementById("errors");
const back = document.getElementById("back");
const next = document.getElementById("next");
const progress = document.getElementById("progress");
const name = document.title.split(" · ").slice(1).join(" · ");

export let current = state.step;
let enter;

/** Bring all pages into the document; `onEnter` is called with the step whenever one is shown. */
export function startSteps(onEnter) {
  for (const template of form.querySelectorAll("template[data-page]")) {
    template.replaceWith(template.content);
  }
  for (const section of form.querySelectorAll("section[data-page]")) {
    const step = section.dataset.page === "review" ? "review" : Number(section.dataset.page);
    pages.set(step, section);
    section.hidden = step !== current;
  }
  enter = onEnter;
  history.replaceState({ step: current }, "");
  addEventListener("popstate", (event) => {
    const step = event.state?.step;
    if (step !== undefined && pages.has(step)) show(step, { push: false });
  });
}

export const stepOf = (question) => {
  const { page } = question.element.closest("section[data-page]").dataset;
  return Number(page);
};

export const total = () => pages.size - 1;
export const after = (step) => (step === total() ? "review" : step + 1);
export const before = (step) => (step === "review" ? total() : step - 1);
export const has = (step) => pages.has(step);

/** Show a step, and put the focus on its heading, or on a question. */
export function show(step, { push = true, replace = false, question = null } = {}) {
  clearErrors();
  for (const [each, section] of pages) section.hidden = each !== step;
  current = step;
  const review = step === "review";
  document.title = `${review ? t("form.review") : t("form.page", { number: step, total: total() })} · ${name}`;
  progress.value = review ? pages.size : step;
  back.hidden = step === 1 && !state.preview;
  say(next, review ? t("review.submit") : t("next"));
  if (push) history.pushState({ step }, "", state.base + step);
  if (replace) history.replaceState({ step }, "", state.base + step);
  enter(step);
  if (question) focusOn(question);
  else {
    scrollTo({ top: 0 });
    pages.get(step).querySelector("h1").focus({ preventScroll: true });
  }
}

export function focusOn(question) {
  const target = question.element.querySelector(
    ".conflict button, input:not([type=hidden]):not([disabled]), textarea, select, summary");
  question.element.scrollIntoView({ block: "start" });
  target?.focus({ preventScroll: true });
}

export function clearErrors() {
  errors.classList.add("empty");
  errors.removeAttribute("role");
  errors.replaceChildren();
}

/** Say under each question what is wrong with it, and above them how many there are. */
export function showErrors(found, onSkip, skipLabel) {
  const links = [...found.keys()].map((question) => make("li", {}, make("a", {
    href: `#q-${question.id}`, dir: "auto",
    onclick: (event) => { event.preventDefault(); goTo(question); },
  }, question.text)));
  errors.replaceChildren(make("h2", {}, t("form.errors", { count: found.size })), make("ul", {}, ...links));
  if (onSkip) errors.append(make("button", { type: "button", class: "link", onclick: onSkip }, skipLabel));
  errors.classList.remove("empty");
  errors.setAttribute("role", "alert");
  errors.scrollIntoView({ block: "start" });
  errors.focus({ preventScroll: true });
}

export function goTo(question) {
  const step = stepOf(question);
  if (step === current) focusOn(question);
  else show(step, { question });
}

/** Mark a question right or wrong, on its page and in the review. */
export function mark(question, messages) {
  const row = document.querySelector(`[data-review="${question.id}"]`);
  for (const [element, line] of [[question.element, question.element.querySelector(".error")], [row, row.querySelector(".error")]]) {
    element.classList.toggle("wrong", messages.length > 0);
    line.hidden = messages.length === 0;
    line.replaceChildren(...(messages.length
      ? [make("span", { class: "visually-hidden" }, `${t("form.error")} `), messages.join(" ")] : []));
  }
  for (const control of question.element.querySelectorAll("input:not([type=hidden]):not([type=file]), select:not(.unit), textarea:not(.explain textarea)")) {
    if (messages.length) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
}
