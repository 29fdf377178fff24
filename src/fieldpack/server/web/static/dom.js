// Elements without markup in strings: texts become text nodes, so nothing that anyone wrote can run.

/** `<tag>` with properties (`class`, `dir`, `aria-…` and `data-…` as attributes, `on…` as listeners) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** Replace what `element` says, only if it changes: a live region then speaks only of news. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function sleep(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

/** Sleep, but no longer than until the network is back. */
export function untilOnline(milliseconds) {
  return new Promise((resolve) => {
    const done = () => { clearTimeout(timer); removeEventListener("online", done); resolve(); };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
  });
}
