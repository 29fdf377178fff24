// What the page takes a typed number for, said as it is typed; where it may be two, the participant says which.

import { isEmpty, numberIn, read, textOf } from "./answers.js";
import { make } from "./dom.js";
import { state, t } from "./texts.js";

const LIKE_GROUPS = /^(-?[1-9][0-9]{0,2})\.([0-9]{3})$/;

/** Say under a question what is read in it; the function returned says it anew. */
export function livenReading(question) {
  const place = question.element.querySelector(".reading");
  let shown = null;

  function refresh() {
    const answer = read(question);
    const number = numberIn(question, answer);
    const now = JSON.stringify([number, isEmpty(answer) ? "" : answer.value.trim()]);
    if (now === shown) return;   // a live region that is written again is spoken again
    shown = now;
    if (number && typeof number === "object") place.replaceChildren(ask(answer.value.trim(), number));
    else if (number && isWorthSaying(number, answer.value.trim())) {
      place.replaceChildren(make("p", { class: "hint", dir: "auto" }, t("number.read", { number: inWords(number) })));
    } else place.replaceChildren();
  }

  function ask(text, { whole, decimal }) {
    const choice = (number, words) => make("button", { type: "button", dir: "auto", onclick: () => choose(number) }, words);
    return make("div", { class: "notice warn", role: "group", "aria-labelledby": `${place.id}-ask` },
      make("p", { id: `${place.id}-ask`, dir: "auto" }, t("number.ask", { text })),
      make("div", { class: "buttons" }, choice(whole, t("number.whole", { number: whole })), choice(decimal, inWords(decimal))));
  }

  function choose(number) {
    const control = textOf(question);
    question.settled = number;
    control.value = number;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.focus();
  }

  question.element.addEventListener("input", refresh);
  refresh();
  return refresh;
}

const isWorthSaying = (number, text) => number !== text || (state.point_groups && LIKE_GROUPS.test(number));

/** A number, so that nobody takes its decimal point for a mark between groups. */
function inWords(number) {
  const [, whole, fraction] = LIKE_GROUPS.exec(number) ?? [];
  return whole === undefined ? number : t("number.thousandths", { number, whole, fraction });
}
