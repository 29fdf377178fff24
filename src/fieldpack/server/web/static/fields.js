// The text of a collection as a form: pages and items added, moved and removed, every field with what is wrong beside it.
// The form writes JSON into the text when it is sent; the server reads that as it reads YAML, and gives YAML back.

import { make } from "./dom.js";

const RULE = ["validation", "rule"];
const ASKED = [["description", "long", "question"], ["required", "yes"], ["helper_text", "line"], ["placeholder_text_input", "line"]];
const FIELDS = {
  free_text: [...ASKED, RULE],
  multiple_choice: [...ASKED, ["options", "options"], ["answer_limit", "number"], ["disable_dropdown", "yes"]],
  multiple_choice_with_free_text: [...ASKED, ["options", "options"], ["answer_limit", "number"], ["disable_dropdown", "yes"]],
  free_text_with_unit: [...ASKED, ["unit_options", "options"], ["default_unit", "typed"], ["unit_position", ["suffix", "prefix"]], RULE],
  file_upload: [...ASKED, ["accepted_file_types", "words"], ["max_file_size_mb", "number"], ["min_file_count", "number"], ["max_file_count", "number"]],
  rich_text: [["content", "long"], ["content_format", ["html", "markdown"]]],
  image: [["url", "line"], ["alt_text", "line"], ["caption", "line"]],
};
const OF_OPTIONS = {
  multiple_choice: [["label", "line"], ["value", "typed"], ["exclusive", "yes"]],
  multiple_choice_with_free_text: [["label", "line"], ["value", "typed"], ["heading", "line"], ["exclusive", "yes"]],
  free_text_with_unit: [["label", "line"], ["value", "typed"], RULE],
};
const NEW = {
  multiple_choice: { options: [{ label: "", value: "1" }, { label: "", value: "2" }] },
  multiple_choice_with_free_text: { options: [{ label: "", value: "1", heading: "" }, { label: "", value: "2", heading: "" }] },
  free_text_with_unit: { unit_options: [{ label: "", value: "" }] },
};
const DEFAULTS = { required: true };

/**
 * Make the form of `body` in `place`, and keep `body` as the form says.
 *
 * `faults` has the messages by the path of their field; `texts` the words by name; `changed` is called after each change.
 */
export function showFields(place, body, faults, texts, changed) {
  const status = make("p", { class: "visually-hidden", role: "status" });
  const opened = new Set(); // items that somebody has opened, as objects: they keep their place when they move
  let dragged = null;
  let ids = 0;

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const set = (owner, name, value) => {
    if (value === "" || value === undefined) delete owner[name];
    else owner[name] = value;
    changed();
  };
  const hasFault = (path) => Object.keys(faults).some((each) => each === path || each.startsWith(`${path}.`));

  /** What is wrong with a field, and its tie to the control. */
  function withFault(path, control, ...before) {
    const messages = faults[path] ?? [];
    const box = make("div", { class: `field${messages.length ? " wrong" : ""}`, "data-path": path }, ...before, control);
    if (messages.length) {
      const id = `fault-${ids += 1}`;
      box.append(make("p", { class: "error", id }, messages.join(" ")));
      const input = control.matches("input, textarea, select") ? control : control.querySelector("input, textarea, select");
      input?.setAttribute("aria-invalid", "true");
      input?.setAttribute("aria-describedby", id);
    }
    return box;
  }

  function labelled(path, name, control) {
    const id = `field-${ids += 1}`;
    control.id = id;
    return withFault(path, control, make("label", { for: id }, texts[name] ?? name));
  }

  function select(options, chosen, onchange) {
    return make("select", { onchange }, ...options.map((each) => make("option", { value: each, selected: each === chosen }, texts[each] ?? each)));
  }

  function showField(owner, path, [name, kind, label = name], type) {
    const here = path ? `${path}.${name}` : name;
    const value = owner[name];
    if (Array.isArray(kind)) return labelled(here, label, select(kind, value ?? kind[0], (event) => set(owner, name, event.target.value)));
    if (kind === "rule") return showRule(owner, here);
    if (kind === "options") return showOptions(owner, here, name, type);
    if (kind === "typed") return showTyped(owner, here, name);
    if (kind === "yes") {
      const box = make("input", { type: "checkbox", onchange: (event) => set(owner, name, event.target.checked === Boolean(DEFAULTS[name]) ? undefined : event.target.checked) });
      box.checked = value ?? DEFAULTS[name] ?? false;
      return withFault(here, make("label", { class: "check" }, box, ` ${texts[label]}`));
    }
    if (kind === "words") {
      const text = Array.isArray(value) ? value.join(" ") : value ?? "";
      const words = (event) => { const found = event.target.value.split(/[\s,]+/).filter(Boolean); set(owner, name, found.length ? found : undefined); };
      return labelled(here, label, make("input", { type: "text", value: text, dir: "ltr", oninput: words }));
    }
    if (kind === "number") {
      const read = (event) => { const text = event.target.value.trim(); set(owner, name, text === "" || Number.isNaN(Number(text)) ? text : Number(text)); };
      return labelled(here, label, make("input", { type: "text", inputmode: "text", value: String(value ?? ""), dir: "ltr", oninput: read }));
    }
    const control = kind === "long" ? make("textarea", { rows: 3, dir: "auto" }, String(value ?? "")) : make("input", { type: "text", value: String(value ?? ""), dir: "auto" });
    control.addEventListener("input", () => set(owner, name, control.value));
    return labelled(here, label, control);
  }

  function showRule(owner, path) {
    const rule = owner.validation ?? {};
    const kinds = select(["none", "number", "string"], rule.type ?? "none", (event) => {
      set(owner, "validation", event.target.value === "none" ? undefined : { ...rule, type: event.target.value });
      render(path);
    });
    const parts = [labelled(`${path}.type`, "rule_type", kinds)];
    if (owner.validation) for (const name of ["min", "max"]) parts.push(showField(rule, path, [name, "number"]));
    return withFault(path, make("fieldset", { class: "group" }, make("legend", {}, texts.validation), ...parts));
  }

  /** A text, a number or a truth value, which are three different answers. */
  function showTyped(owner, path, name) {
    const value = owner[name];
    const kinds = { string: "text", number: "number", boolean: "truth" };
    const input = make("input", { type: "text", value: String(value ?? ""), dir: "auto" });
    const kind = select(["text", "number", "truth"], kinds[typeof value] ?? "text", () => read());
    kind.setAttribute("aria-label", texts.value_type);
    function read() {
      const text = input.value;
      const number = kind.value === "number" && text.trim() !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
      set(owner, name, kind.value === "truth" && /^(true|false)$/.test(text) ? text === "true" : number);
    }
    input.addEventListener("input", read);
    const box = labelled(path, name, input);
    box.append(kind);
    return box;
  }

  function showOptions(owner, path, name, type) {
    const list = Array.isArray(owner[name]) ? owner[name] : owner[name] = [];
    const rows = list.map((option, at) => make("li", { "data-path": `${path}.${at}` },
      make("div", { class: "fields" }, ...OF_OPTIONS[type].map((field) => showField(option, `${path}.${at}`, field, type))),
      showMoves(`${path}.${at}`, option.label || String(at + 1), at > 0, at < list.length - 1,
        (step) => { moveWithin(list, at, at + step); render(`${path}.${at + step}`, step); },
        () => { list.splice(at, 1); changed(); render(path); })));
    const add = make("button", { type: "button", onclick: () => {
      list.push(type === "multiple_choice_with_free_text" ? { label: "", value: "", heading: "" } : { label: "", value: "" });
      changed();
      render(`${path}.${list.length - 1}`);
    } }, texts.add_option);
    return withFault(path, make("fieldset", { class: "group" }, make("legend", {}, texts[name]), make("ol", { class: "plain" }, ...rows), add));
  }

  function moveWithin(list, from, to) {
    list.splice(to, 0, ...list.splice(from, 1));
    changed();
  }

  function showMoves(path, name, canRise, canFall, move, remove) {
    const button = (what, does, can = true) => make("button", { type: "button", class: what, disabled: !can, "aria-label": `${texts[what]}: ${name}`, onclick: does }, texts[what]);
    return make("div", { class: "buttons moves" }, button("up", () => move(-1), canRise), button("down", () => move(1), canFall), button("remove", remove));
  }

  /** An item goes to another place, on its own page or on another one. */
  function moveItem(from, page, to, step) {
    const pages = body.collection_items;
    const [item] = pages[from.page].page_items.splice(from.at, 1);
    const place_ = from.page === page && from.at < to ? to - 1 : to;
    pages[page].page_items.splice(place_, 0, item);
    changed();
    render(`collection_items.${page}.page_items.${place_}`, step);
    status.textContent = fill(texts.moved, { page: page + 1, number: place_ + 1 });
  }

  function showItem(item, page, at) {
    const path = `collection_items.${page}.page_items.${at}`;
    const pages = body.collection_items;
    const last = at === pages[page].page_items.length - 1;
    const title = item.description || item.alt_text || (item.content ?? "").replace(/<[^>]*>/g, " ").trim() || "…";
    const details = make("details", { open: opened.has(item) || hasFault(path), ontoggle: () => { if (details.open) opened.add(item); else opened.delete(item); } },
      make("summary", {}, make("span", { class: "tag" }, texts[item.type]), " ", make("span", { dir: "auto" }, title.slice(0, 120))),
      make("div", { class: "fields" }, ...FIELDS[item.type].map((field) => showField(item, path, field, item.type))));
    const move = (step) => {
      if (step < 0 && at > 0) moveItem({ page, at }, page, at - 1, step);
      else if (step < 0) moveItem({ page, at }, page - 1, pages[page - 1].page_items.length, step);
      else if (!last) moveItem({ page, at }, page, at + 2, step);
      else moveItem({ page, at }, page + 1, 0, step);
    };
    const row = make("li", { class: "item", "data-path": path, "data-page": page, "data-at": at },
      make("span", { class: "handle", draggable: "true", title: texts.drag, "aria-hidden": "true" }, "⠿"),
      withFault(path, details),
      showMoves(path, title.slice(0, 60), at > 0 || page > 0, !last || page < pages.length - 1, move,
        () => { pages[page].page_items.splice(at, 1); changed(); render(`collection_items.${page}`); }));
    row.querySelector(".handle").addEventListener("dragstart", (event) => { dragged = { page, at }; event.dataTransfer.setData("text/plain", title); event.dataTransfer.effectAllowed = "move"; });
    row.addEventListener("dragover", (event) => { if (dragged) { event.preventDefault(); row.classList.add("over"); } });
    row.addEventListener("dragleave", () => row.classList.remove("over"));
    row.addEventListener("drop", (event) => {
      if (!dragged) return;
      event.preventDefault();
      const box = row.getBoundingClientRect();
      const from = dragged;
      dragged = null;
      moveItem(from, page, event.clientY > box.top + box.height / 2 ? at + 1 : at, 0);
    });
    row.addEventListener("keydown", (event) => {
      const step = event.altKey ? { ArrowUp: -1, ArrowDown: 1 }[event.key] : undefined;
      const can = step < 0 ? at > 0 || page > 0 : !last || page < pages.length - 1;
      if (step === undefined || !can) return;
      event.preventDefault();
      move(step);
    });
    return row;
  }

  function showPage(page, number) {
    const path = `collection_items.${number}`;
    const pages = body.collection_items;
    const kinds = select(Object.keys(FIELDS), "free_text", () => {});
    kinds.setAttribute("aria-label", texts.kind);
    const add = make("button", { type: "button", onclick: () => {
      const item = { type: kinds.value, ...structuredClone(NEW[kinds.value] ?? {}) };
      page.page_items.push(item);
      opened.add(item);
      changed();
      render(`${path}.page_items.${page.page_items.length - 1}`);
    } }, texts.add);
    const name = fill(texts.page, { number: number + 1 });
    return withFault(path, make("section", { class: "card", "aria-label": name },
      make("div", { class: "head" }, make("h2", {}, name), showMoves(path, name, number > 0, number < pages.length - 1,
        (step) => { moveWithin(pages, number, number + step); render(`collection_items.${number + step}`, step); },
        () => { pages.splice(number, 1); changed(); render(""); })),
      withFault(`${path}.page_items`, make("ol", { class: "plain items" }, ...page.page_items.map((item, at) => showItem(item, number, at)))),
      make("p", { class: "buttons" }, kinds, add)));
  }

  /** Draw it all, and go back to what was worked on. */
  function render(path = "", step = 0) {
    const task = body.task_details;
    place.replaceChildren(
      make("section", { class: "card" },
        ...[["name", "line"], ["description", "long"]].map((field) => showField(body, "", field)),
        ...[["task_name", "line"], ["task_introduction", "long"], ["task_steps", "long"]].map((field) => showField(task, "task_details", field))),
      ...body.collection_items.map(showPage),
      withFault("collection_items", make("p", { class: "buttons" }, make("button", { type: "button", onclick: () => {
        body.collection_items.push({ page_items: [] });
        changed();
        render(`collection_items.${body.collection_items.length - 1}`);
      } }, texts.add_page))),
      status);
    const there = path && place.querySelector(`[data-path="${CSS.escape(path)}"]`);
    if (!there) return;
    const buttons = [...there.querySelectorAll(":scope > .moves button, :scope > section > .head .moves button")];
    const wanted = step ? buttons.find((each) => each.matches(step < 0 ? ".up" : ".down") && !each.disabled) ?? buttons.find((each) => !each.disabled) : null;
    (wanted ?? there.querySelector("input, textarea, select, button"))?.focus();
  }

  render();
}

/** Whether a form can show all that a text holds, so that nothing of it is lost. */
export function canShow(body) {
  const isObject = (each) => typeof each === "object" && each !== null && !Array.isArray(each);
  return isObject(body) && isObject(body.task_details) && Array.isArray(body.collection_items)
    && body.collection_items.every((page) => isObject(page) && Array.isArray(page.page_items)
      && page.page_items.every((item) => isObject(item) && item.type in FIELDS
        && ["options", "unit_options"].every((name) => item[name] === undefined || (Array.isArray(item[name]) && item[name].every(isObject)))
        && [item.validation, ...(item.unit_options ?? []).map((unit) => unit.validation)].every((rule) => rule === undefined || isObject(rule))));
}
