// Dates and times as the reader writes them: in the browser's own locale, whatever the page's language.

/** A moment in the reader's locale and time zone; `options` are Intl's. */
export function momentText(at, options = { dateStyle: "medium", timeStyle: "short" }) {
  try {
    return new Intl.DateTimeFormat([...navigator.languages], options).format(at);
  } catch {
    return new Intl.DateTimeFormat(undefined, options).format(at); // a language tag that Intl can't read
  }
}

/** Put the reader's own time where the server wrote UTC. */
export function showMoments(root = document) {
  for (const element of root.querySelectorAll("time[data-local]")) {
    element.textContent = momentText(new Date(element.dateTime));
  }
}
