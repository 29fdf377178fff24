// Live controls: limits of choices, options that stand alone, explanation boxes, and counted characters.

import { make, say } from "./dom.js";
import { isChoice, optionsOf } from "./answers.js";
import { livenReading } from "./readings.js";
import { t } from "./texts.js";

/** Make a question's controls live; `refresh` is to be called after an answer was written into them. */
export function liven(question) {
  if (isChoice(question)) return livenChoice(question);
  const refreshers = [];
  if (question.type === "free_text") refreshers.push(livenText(question));
  if (question.element.querySelector(".reading")) refreshers.push(livenReading(question));
  return () => { for (const refresh of refreshers) refresh(); };
}

function livenChoice(question) {
  const { element } = question;
  const controls = optionsOf(question);
  const note = element.querySelector(".limit");
  const summary = element.querySelector("summary .chosen");
  const clear = !question.required && controls[0].type === "radio" ? makeClear() : null;

  /** Radio buttons can't be unchosen; who need not answer may want to. */
  function makeClear() {
    const button = make("button", {
      type: "button", class: "link", "aria-label": t("form.clear_of", { question: question.text }),
      onclick: () => {
        const chosen = controls.find((control) => control.checked);
        chosen.checked = false;
        chosen.focus();
        chosen.dispatchEvent(new Event("input", { bubbles: true }));
      },
    }, t("form.clear"));
    element.append(button);
    return button;
  }

  function refresh() {
    const chosen = controls.filter((control) => (control.matches("option") ? control.selected : control.checked));
    const full = question.limit !== 1 && question.limit !== -1 && chosen.length >= question.limit;
    if (clear) clear.hidden = chosen.length === 0;
    if (question.limit !== 1) {
      const alone = chosen.some((control) => "exclusive" in control.dataset);
      for (const control of controls) {
        control.disabled = full && !alone && !chosen.includes(control) && !("exclusive" in control.dataset);
      }
      note.hidden = !full || chosen.length === controls.length;
      say(note, note.hidden ? "" : t("form.limit_reached", { count: chosen.length }));
    }
    for (const box of element.querySelectorAll(".explanations .explain")) {
      box.hidden = !chosen.some((control) => control.value === box.dataset.for);
    }
    if (summary) {
      const labels = chosen.map((control) => control.closest("label").querySelector("span").textContent);
      say(summary, labels.length ? labels.join(", ") : summary.dataset.placeholder);
    }
  }

  // at `input`, which comes before `change`, and before the answer is read to be saved
  element.addEventListener("input", (event) => {
    const control = event.target;
    if (control.type === "checkbox" && control.checked) {
      const alone = "exclusive" in control.dataset;
      for (const other of controls) {
        if (other !== control && (alone || "exclusive" in other.dataset)) other.checked = false;
      }
    }
    refresh();
  });
  element.addEventListener("keydown", (event) => {
    const dropdown = element.querySelector("details[open]");
    if (event.key === "Escape" && dropdown) {
      dropdown.open = false;
      dropdown.querySelector("summary").focus();
    }
  });
  refresh();
  return refresh;
}

function livenText(question) {
  const input = question.element.querySelector("textarea, input[type=text]");
  const note = question.element.querySelector(".count");
  const rule = question.validation;
  if (!rule || rule.type !== "string" || (rule.max ?? null) === null) return () => {};
  // spoken only when the limit is near: a count at every key would drown the text
  const spoken = make("span", { class: "visually-hidden", role: "status" });
  note.after(spoken);

  function refresh() {
    const size = [...input.value].length;
    const over = size - rule.max;
    note.hidden = false;
    note.classList.toggle("over", over > 0);
    note.setAttribute("aria-hidden", "true");
    say(note, over > 0 ? t("form.count_long", { count: over }) : t("form.count", { count: size, max: rule.max }));
    say(spoken, over > 0 ? t("form.count_long", { count: over }) : "");
  }
  input.addEventListener("input", refresh);
  refresh();
  return refresh;
}
