// What a file is, told by its first bytes: only kinds that are told with certainty. Everything else is left to
// the server, which looks closer.

const PICTURES = [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
  ".heic", ".heif", ".heics", ".heifs", ".hif", ".avif", ".avifs"];
const ISO_FILMS = [".mp4", ".m4v", ".mov", ".qt", ".m4a", ".m4b", ".mp4v", ".f4v", ".3gp", ".3g2"];
const CONTAINERS = [".docx", ".docm", ".dotx", ".xlsx", ".xlsm", ".xltx", ".pptx", ".pptm", ".ppsx", ".odt", ".ott", ".ods",
  ".ots", ".odp", ".epub", ".zip"];
const WEB = [".html", ".htm", ".xhtml", ".xht", ".svg", ".xml"];

const starts = (head, ...bytes) => bytes.every((byte, at) => head[at] === byte);
const ascii = (head, from, to) => String.fromCharCode(...head.slice(from, to));

/** `[label, extensions that fit, previewable]`, or null when nothing tells for sure. */
export function detect(head) {
  if (starts(head, 0xff, 0xd8, 0xff)) return ["picture", [".jpg", ".jpeg", ".jpe", ".jfif"], "image"];
  if (starts(head, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return ["picture", [".png", ".apng"], "image"];
  if (/^GIF8[79]a/.test(ascii(head, 0, 6))) return ["picture", [".gif"], "image"];
  if (ascii(head, 0, 4) === "RIFF") {
    const form = ascii(head, 8, 12);
    if (form === "WEBP") return ["picture", [".webp"], "image"];
    if (form === "WAVE") return ["audio", [".wav", ".wave", ".bwf"], null];
    if (form === "AVI ") return ["video", [".avi"], null];
  }
  if (ascii(head, 4, 8) === "ftyp") return detectIso(ascii(head, 8, 12));
  if (starts(head, 0x1a, 0x45, 0xdf, 0xa3)) {
    return ["video", [".webm", ".weba", ".mkv", ".mka", ".mk3d"], "video"];
  }
  if (/^\s*%PDF-/.test(ascii(head, 0, 64))) return ["pdf", [".pdf"], null];
  if (starts(head, 0x50, 0x4b, 0x03, 0x04)) return ["archive", null, null];
  if (starts(head, 0x7f, 0x45, 0x4c, 0x46)) return ["program", [".exe", ".dll", ".so", ".dylib", ".elf", ".app"], null];
  const text = new TextDecoder().decode(head.slice(0, 1024)).toLowerCase();
  if (/^[\ufeff\s]*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*)*<(!doctype\s+(html|svg)|html|head|body|script|iframe|svg)[\s>]/.test(text)) {
    return ["web", WEB, null];
  }
  return null;
}

function detectIso(brand) {
  if (/^(avif|avis)$/.test(brand)) return ["picture", [".avif", ".avifs"], "image"];
  if (/^(hei[cxms]|hev[cxms]|mif1|mif2|msf1|miaf)$/.test(brand)) {
    return ["picture", [".heic", ".heif", ".heics", ".heifs", ".hif", ".avif", ".avifs"], null];
  }
  return ["video", ISO_FILMS, "video"];
}

export function extensionOf(name) {
  return /\.[^\s./\\:]{1,16}$/.exec(name)?.[0].toLowerCase() ?? "";
}

/** Whether the content surely is of no accepted type: the label of what it is, or null. */
export function refuse(head, accepted) {
  const found = detect(head);
  if (!found || found[1] === null) return null;
  const [label, extensions] = found;
  if (extensions.some((extension) => accepted.includes(extension))) return null;
  const known = [...PICTURES, ...ISO_FILMS, ...CONTAINERS, ...WEB, ".webm", ".mkv", ".avi", ".pdf", ".txt", ".csv", ".wav",
    ".mp3", ".exe"];
  // a type that is unknown here may be built on any of these
  return accepted.every((extension) => known.includes(extension)) ? label : null;
}
