// The editor of a collection: as a form or as text, a fault leads to its line, and whoever leaves is asked before what
// they wrote is lost.

import "./simple.js";
import { canShow, showFields } from "./fields.js";

const form = document.querySelector("#editor");
const source = document.querySelector("#source");
const fields = document.querySelector("#fields");
const views = document.querySelector("#views");
const before = source.value;
const body = JSON.parse(fields.dataset.body);
const check = form.querySelector("button[value=check]");
let isChanged = false; // the form says something else than the text
let isSent = false;

for (const link of document.querySelectorAll("[data-line]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    showLine(Number(link.dataset.line));
  });
}

/** Select a line, where it can be seen. */
function showLine(number) {
  show("text");
  const lines = source.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  source.focus();
  source.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
  source.scrollTop = Math.max(0, (number - 4) * (source.scrollHeight / lines.length));
}

function show(view) {
  form.elements.view.value = view;
  fields.hidden = view !== "form";
  document.querySelector("#as-text").hidden = view === "form";
  for (const button of views.querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === view);
}

/** To the other view; what was changed in this one is read by the server first, which writes it anew. */
function change(view) {
  if (view === form.elements.view.value) return;
  const isStale = view === "text" ? isChanged : source.value !== before || !canShow(body);
  if (!isStale) { show(view); return; }
  write();
  form.elements.view.value = view;
  form.requestSubmit(check);
}

/** Put what the form says into the text. */
function write() {
  if (!isChanged || form.elements.view.value !== "form") return;
  source.value = JSON.stringify(body);
  form.elements.written.value = "form";
}

if (canShow(body)) {
  showFields(fields, body, JSON.parse(fields.dataset.faults), JSON.parse(fields.dataset.texts), () => { isChanged = true; });
}
views.hidden = false;
for (const button of views.querySelectorAll("button")) button.addEventListener("click", () => change(button.value));
show(canShow(body) ? form.elements.view.value : "text");

form.addEventListener("submit", () => { write(); isSent = true; });
addEventListener("pageshow", (event) => { if (event.persisted) isSent = false; });
addEventListener("beforeunload", (event) => {
  if (!isSent && (form.dataset.unsaved === "yes" || isChanged || source.value !== before)) event.preventDefault();
});
