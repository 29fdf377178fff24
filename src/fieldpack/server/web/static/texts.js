// What the server put into the page: its state, and the texts of the reader's language.

export const form = document.getElementById("form");
export const state = JSON.parse(form.dataset.state);

const plural = new Intl.PluralRules(state.language);

/** The text of `key` with its places filled; `.one` and `.other` are chosen by `values.count`. */
export function t(key, values = {}) {
  const text = state.texts[key]
    ?? state.texts[`${key}.${plural.select(values.count)}`]
    ?? state.texts[`${key}.other`]
    ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
}

/** 1.5 MB; units are of 1,024, as limits are. */
export function sizeText(bytes) {
  let size = bytes;
  for (const unit of ["B", "KB", "MB"]) {
    if (size < 1024) return `${unit === "B" || size >= 100 ? Math.round(size) : Number(size.toPrecision(3))} ${unit}`;
    size /= 1024;
  }
  return `${Number(size.toPrecision(3))} GB`;
}

/** A span of time in one unit, in the reader's language: 40 sec, 3 min, 2 hr. */
export function durationText(seconds) {
  const [value, unit] = seconds < 90 ? [Math.max(1, Math.round(seconds)), "second"]
    : seconds < 5400 ? [Math.round(seconds / 60), "minute"] : [Math.round(seconds / 3600), "hour"];
  return new Intl.NumberFormat(state.language, { style: "unit", unit, unitDisplay: "short" }).format(value);
}
