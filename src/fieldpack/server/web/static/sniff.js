// Which files fit, as far as their name and their first bytes tell for certain: by the server's own table. What needs a
// closer look is left to the server.

import { CONTROLS, EXTENSIONS, SCANNED_BYTES, SIGNATURES, TEXTS, TYPES, WEB_TAGS } from "./formats.js";

const ROWS = new Map(EXTENSIONS.flatMap(([names, holds]) => names.map((name) => [name, { names, holds }])));
const NO_TEXT = new RegExp(CONTROLS);

const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const matches = (pieces, head, text) => pieces.every(([offset, piece]) => (offset === null
  ? text.slice(0, SCANNED_BYTES).includes(latin1(piece))
  : piece.every((byte, at) => head[offset + at] === byte)));

/** The types that a text can be, by its first element; all of them where it is not in UTF-8, none if it is no text. */
function findText(head, text) {
  if (/^(\xff\xfe|\xfe\xff|\0\0\xfe\xff)/.test(text)) return TEXTS;
  if (!head.length || NO_TEXT.test(text.replace(/\x1a$/, ""))) return [];
  let rest = text.replace(/^\xef\xbb\xbf/, "").trimStart();
  const isXml = rest.startsWith("<?xml");
  for (const [start, end] of [["<?", "?>"], ["<!--", "-->"], ["<?", "?>"], ["<!--", "-->"]]) {
    if (!rest.startsWith(start)) continue;
    const at = rest.indexOf(end, start.length);
    if (at < 0) return TEXTS;
    rest = rest.slice(at + end.length).trimStart();
  }
  const tag = /^<(?:!doctype\s+)?(?:[\w.-]+:)?([a-z][\w.-]*)/i.exec(rest)?.[1].toLowerCase();
  if (WEB_TAGS.includes(tag) && (tag === "html" || !isXml)) return ["html"];
  if (tag === "svg") return ["svg"];
  return rest.startsWith("<") ? TEXTS : ["text", "xml"];
}

/** The types that a file can be which begins so, the likeliest first. */
export function possibleTypes(head) {
  const text = latin1(head);
  return SIGNATURES.find(([, pieces]) => matches(pieces, head, text))?.[0] ?? findText(head, text);
}

/** `image` or `video` if the browser may be able to show it. */
export function previewOf(head) {
  const medium = TYPES[possibleTypes(head)[0]]?.[1];
  return medium === "audio" ? null : medium ?? null;
}

export function extensionOf(name) {
  return /\.[\p{L}\p{N}_]{1,16}$/u.exec(name)?.[0].toLowerCase() ?? "";
}

/** A question's accepted extensions. */
export class Listing {
  constructor(listed) {
    this.rows = new Map();
    for (const each of listed) {
      const row = ROWS.get(each) ?? { names: [each], holds: ROWS.get(each.slice(each.lastIndexOf(".")))?.holds ?? [] };
      for (const name of row.names) this.rows.set(name, row);
    }
    this.holds = new Set([...this.rows.values()].flatMap((row) => row.holds));
    this.isOpen = [...this.rows.values()].some((row) => !row.holds.length);
  }

  find(name) {
    const fitting = [...this.rows.keys()].filter((each) => name.toLowerCase().endsWith(each));
    return this.rows.get(fitting.sort((one, other) => other.length - one.length)[0]);
  }

  admitsName(name) {
    const extension = extensionOf(name);
    return !extension || /^\.\d+$/.test(extension) || this.find(name) !== undefined;
  }

  admitsAny(name) {
    const row = this.find(name);
    return row ? !row.holds.length : this.isOpen;
  }

  admitsEmpty(name) {
    const holds = this.find(name)?.holds ?? [...this.holds];
    return this.admitsAny(name) || TEXTS.some((type) => holds.includes(type));
  }

  /** Which word of the catalogue says what the content is, if it surely does not fit; else null. */
  refuse(name, head) {
    if (!head.length || this.admitsAny(name)) return null;
    const types = possibleTypes(head);
    return types.some((type) => this.holds.has(type)) ? null : TYPES[types[0]]?.[0] ?? "data";
  }
}
