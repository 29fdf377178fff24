// Answers in the page: read from the controls, written into them, checked, and put in words.

import { readNumber } from "./numbers.js";
import { state, t } from "./texts.js";

/** Every question by id: its element and what the server says of it. Call once all pages are in the document. */
export function findQuestions(root) {
  const found = new Map();
  for (const element of root.querySelectorAll("[data-item]")) {
    const item = JSON.parse(element.dataset.item);
    const question = { ...item, element, text: element.querySelector(".text").textContent };
    // which text needs no more asking: what the server has
    question.settled = state.unsaved.includes(item.id) ? null : textOf(question)?.defaultValue;
    found.set(item.id, question);
  }
  return found;
}

export const isChoice = (question) => question.type.startsWith("multiple_choice");

export function optionsOf(question) {
  return [...question.element.querySelectorAll("[data-value]")];
}

const isChosen = (control) => (control.matches("option") ? control.selected : control.checked);

function explanationOf(question, control) {
  return question.element.querySelector(`.explain[data-for="${control.value}"] textarea`);
}

export const textOf = (question) => question.element.querySelector(`[name="a.${question.id}"]`);
const unitControl = (question) => question.element.querySelector(`[name="u.${question.id}"]`);

// units, as options, may be texts, numbers or booleans; JSON tells 1, "1" and true apart
const isValue = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function readUnit(question) {
  const control = unitControl(question);
  const { unit } = (control.matches("select") ? control.selectedOptions[0] : control)?.dataset ?? {};
  return unit === undefined ? null : JSON.parse(unit);
}

function writeUnit(question, unit) {
  const control = unitControl(question);
  if (!control.matches("select")) return;
  const found = [...control.options].find((option) => "unit" in option.dataset && isValue(JSON.parse(option.dataset.unit), unit));
  if (found) found.selected = true;
}

const unitNamed = (question, unit) => question.units?.find((each) => isValue(each.value, unit));

/** The answer in the controls, in the API's shape. */
export function read(question) {
  if (isChoice(question)) {
    const value = optionsOf(question).filter(isChosen).map((control) => {
      const chosen = JSON.parse(control.dataset.value);
      return question.explained
        ? { value: chosen, explanation: explanationOf(question, control).value } : chosen;
    });
    return { value };
  }
  const value = textOf(question).value;
  return question.type === "free_text" ? { value } : { value, unit: readUnit(question) };
}

/** Whether the controls say something else than when the page came: someone was quicker than the scripts. */
export function isTouched(question) {
  return [...question.element.querySelectorAll("input:not([type=hidden]), textarea, option")].some((control) => {
    if (control.matches("option")) return control.selected !== control.defaultSelected && (control.value !== "" || control.defaultSelected);
    if (control.matches("[type=radio], [type=checkbox]")) return control.checked !== control.defaultChecked;
    return control.value !== control.defaultValue;
  });
}

/** Put an answer into the controls. */
export function write(question, answer) {
  if (isChoice(question)) {
    const entries = new Map((answer?.value ?? []).map((entry) => (
      question.explained ? [JSON.stringify(entry.value), entry.explanation ?? ""] : [JSON.stringify(entry), ""])));
    for (const control of optionsOf(question)) {
      const key = JSON.stringify(JSON.parse(control.dataset.value));
      if (control.matches("option")) control.selected = entries.has(key);
      else control.checked = entries.has(key);
      if (question.explained) explanationOf(question, control).value = entries.get(key) ?? "";
    }
    return;
  }
  textOf(question).value = answer?.value ?? "";
  if (question.type === "free_text_with_unit" && (answer?.unit ?? null) !== null) writeUnit(question, answer.unit);
}

export function isEmpty(answer) {
  if (!answer) return true;
  return typeof answer.value === "string" ? !answer.value.trim() : answer.value.length === 0;
}

export const isSame = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));

function sorted(answer) {
  if (isEmpty(answer)) return null;
  if (!Array.isArray(answer.value)) return { value: answer.value, unit: answer.unit ?? null };
  const entries = answer.value.map((entry) => (
    typeof entry === "object" ? JSON.stringify([entry.value, entry.explanation ?? ""]) : JSON.stringify(entry)));
  return entries.sort();
}

/** An answer in lines, as the review shows it. */
export function summarise(question, answer) {
  if (isEmpty(answer)) return [];
  if (question.type === "free_text") return [answer.value];
  if (question.type === "free_text_with_unit") {
    const unit = unitNamed(question, answer.unit)?.label ?? "";
    const before = question.element.querySelector(".with-unit").classList.contains("prefix");
    return [before ? `${unit} ${answer.value}` : `${answer.value} ${unit}`];
  }
  const labels = new Map(Object.entries(question.labels).map(([key, label]) => (
    [JSON.stringify(JSON.parse(key)), label])));
  return answer.value.map((entry) => {
    if (!question.explained) return labels.get(JSON.stringify(entry));
    const label = labels.get(JSON.stringify(entry.value));
    return entry.explanation ? `${label}: ${entry.explanation}` : label;
  });
}

const rulesOf = (question, answer) => [question.validation, unitNamed(question, answer.unit)?.validation].filter(Boolean);

/** What is read in an answer where a rule asks for a number: as `readNumber` says it; undefined where none does. */
export function numberIn(question, answer) {
  if (isChoice(question) || isEmpty(answer) || !rulesOf(question, answer).some((rule) => rule.type === "number")) return undefined;
  return readNumber(answer.value, { pointGroups: state.point_groups && answer.value !== question.settled });
}

/** Whether the reader's locale makes two numbers of one that the server would take for a decimal: it is not sent so. */
export function isUnclear(question, answer) {
  const number = numberIn(question, answer);
  return Boolean(number) && typeof number === "object" && typeof readNumber(answer.value) === "string";
}

/** Whether this can be saved as it is: a text without its unit can't, nor a number that has to be made clear first. */
export function isSavable(question, answer) {
  return (question.type !== "free_text_with_unit" || answer.unit !== null) && !isUnclear(question, answer);
}

/** What is wrong with an answer, in words; the server has the last word at submit. */
export function check(question, answer) {
  if (isEmpty(answer)) return question.required ? [t("problem.missing")] : [];
  if (isChoice(question)) return [];
  if (question.type === "free_text_with_unit" && answer.unit === null) return [t("problem.unit")];
  const number = numberIn(question, answer);
  if (number === null) return [t("problem.not_number")];
  if (typeof number === "object") return [t("problem.ambiguous")];
  const found = rulesOf(question, answer).map((rule) => checkRule(rule, number ?? answer.value)).filter(Boolean);
  return [...new Set(found)];
}

function checkRule(rule, text) {
  const isNumber = rule.type === "number";
  const size = isNumber ? Number(text) : [...text].length;
  const low = rule.min ?? null;
  const high = rule.max ?? null;
  if (low !== null && size < low) {
    return isNumber ? t("problem.number_low", { bound: low }) : t("problem.text_short", { count: low });
  }
  if (high !== null && size > high) {
    return isNumber ? t("problem.number_high", { bound: high }) : t("problem.text_long", { count: high });
  }
  return null;
}
