// What the server put into the page: its state, and the texts of the reader's language.

export const form = document.getElementById("form");
export const state = JSON.parse(form.dataset.state);

const plural = new Intl.PluralRules(state.language);
const decimal = new Intl.NumberFormat(state.language, {
  useGrouping: false, maximumFractionDigits: 20, numberingSystem: "latn",
});

/**
 * The text of `key` with its places filled, numbers with the decimal mark of its language. Of a text with several
 * forms it is that of `values.count`.
 */
export function t(key, values = {}) {
  const found = state.texts[key] ?? key;
  const text = typeof found === "string" ? found : found[plural.select(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? say(values[name]) : place));
}

const say = (value) => (typeof value === "number" ? decimal.format(value) : String(value));

/** 1.5 MB, in powers of 1,000. `Catalogue.size` of the server says the same. */
export function sizeText(bytes) {
  if (bytes < 999.5) return t("size.bytes", { number: Math.round(bytes) });
  let size = bytes / 1000;
  if (size < 999.5) return t("size.kilobytes", { number: short(size) });
  size /= 1000;
  if (size < 999.5) return t("size.megabytes", { number: short(size) });
  return t("size.gigabytes", { number: short(size / 1000) });
}

const short = (size) => (size >= 99.95 ? Math.round(size) : Number(size.toPrecision(3)));

/** A span of time in one unit, in the reader's language: 40 sec, 3 min, 2 hr. */
export function durationText(seconds) {
  const [value, unit] = seconds < 90 ? [Math.max(1, Math.round(seconds)), "second"]
    : seconds < 5400 ? [Math.round(seconds / 60), "minute"] : [Math.round(seconds / 3600), "hour"];
  return new Intl.NumberFormat(state.language, { style: "unit", unit, unitDisplay: "short" }).format(value);
}
