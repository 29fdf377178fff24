// Numbers as people's keyboards write them. `submissions/numbers.py` of the server says the same, and has the last word.

const UNSEEN = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const WIDE = /[\uff01-\uff5e]/g;
const DIGIT = /\p{Nd}/u;
const SHAPE = /^([+-]?)([0-9 ',.\u066b\u066c]+)(?:[eE]([+-]?)([0-9]{1,3}))?$/;
const GROUPS = /^(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3})$/;
const TWO_WAYS = /^[1-9][0-9]{0,2}[,.][0-9]{3}$/;
const DECIMAL_MARKS = [",", ".", "\u066b"];

/** The number that a text says, in its normal form; `{whole, decimal}` of an ambiguous one; null for none. */
export function readNumber(text, { pointGroups = false } = {}) {
  const shape = SHAPE.exec(toAscii(text));
  const split = shape && splitBody(shape[2]);
  if (!split) return null;
  const before = shape[1].replace("+", "");
  const after = shape[4] === undefined ? "" : `e${shape[3].replace("+", "")}${shape[4]}`;
  const [whole, fraction] = split;
  const decimal = `${before}${whole}${fraction && "."}${fraction}${after}`;
  const ambiguous = TWO_WAYS.test(shape[2]) && (pointGroups || shape[2].includes(","));
  return ambiguous ? { whole: `${before}${whole}${fraction}${after}`, decimal } : decimal;
}

function toAscii(text) {
  const plain = text.replace(UNSEEN, "")
    .replace(WIDE, (letter) => String.fromCharCode(letter.charCodeAt(0) - 0xfee0))
    .replace(/[\u00a0\u2009\u202f]/g, " ").replaceAll("\u2019", "'").replaceAll("\u2212", "-").trim();
  const digits = new Map([...new Set(plain)].filter((letter) => DIGIT.test(letter)).map((letter) => [letter, valueOf(letter)]));
  const zeros = new Set([...digits].map(([letter, value]) => letter.codePointAt(0) - value));
  return zeros.size === 1 ? plain.replace(/\p{Nd}/gu, (letter) => String(digits.get(letter))) : plain;
}

/** Digits stand in Unicode in runs of ten, from zero to nine. */
function valueOf(digit) {
  const code = digit.codePointAt(0);
  let before = 0;
  while (DIGIT.test(String.fromCodePoint(code - before - 1))) before += 1;
  return before % 10;
}

/** Digits before and after the decimal mark; null when the marks stand where no number has them. */
function splitBody(body) {
  const marks = new Set(body.replace(/[0-9]/g, ""));
  let whole = body;
  let fraction = "";
  const last = [...marks].sort((one, other) => body.lastIndexOf(other) - body.lastIndexOf(one))[0];
  if (DECIMAL_MARKS.includes(last) && body.indexOf(last) === body.lastIndexOf(last)) {
    [whole, fraction] = body.split(last);
    marks.delete(last);
  }
  if (marks.size) {
    const [mark] = marks;
    if (marks.size > 1 || mark === "\u066b" || !GROUPS.test(whole.replaceAll(mark, ","))) return null;
    whole = whole.replaceAll(mark, "");
  }
  return whole || fraction ? [whole, fraction] : null;
}
