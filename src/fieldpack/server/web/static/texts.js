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

/** 1.5 MB, in powers of 1,000. `size_text` of the server's rendering says the same. */
export function sizeText(bytes) {
  let size = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (size < 999.5) return `${unit === "B" || size >= 99.95 ? Math.round(size) : Number(size.toPrecision(3))} ${unit}`;
    size /= 1000;
  }
  return `${size < 999.5 ? Number(size.toPrecision(3)) : Math.round(size).toLocaleString("en")} GB`;
}

/** A span of time in one unit, in the reader's language: 40 sec, 3 min, 2 hr. */
export function durationText(seconds) {
  const [value, unit] = seconds < 90 ? [Math.max(1, Math.round(seconds)), "second"]
    : seconds < 5400 ? [Math.round(seconds / 60), "minute"] : [Math.round(seconds / 3600), "hour"];
  return new Intl.NumberFormat(state.language, { style: "unit", unit, unitDisplay: "short" }).format(value);
}
