// Uploads under way, kept in IndexedDB: which upload a file belongs to, and the file itself where there is room,
// so that a transfer goes on by itself after the browser was closed.

import { state } from "./texts.js";

const MARGIN = 1.2;
let opened;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("fieldpack", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("uploads", { keyPath: "url" }).createIndex("submission", "submission");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
  return opened;
}

function ask(mode, act) {
  return open().then((database) => new Promise((resolve, reject) => {
    const transaction = database.transaction("uploads", mode);
    const request = act(transaction.objectStore("uploads"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  }));
}

/** Note an upload; the file with it if there is room. Without IndexedDB, only this page can resume. */
export async function keepUpload(url, item, file, fingerprint) {
  const record = { url, submission: state.submission, item, name: file.name, size: file.size, fingerprint, file: null };
  try {
    await ask("readwrite", (store) => store.put(record));
    const { quota = 0, usage = 0 } = (await navigator.storage?.estimate?.()) ?? {};
    if (file.size * MARGIN < quota - usage) await ask("readwrite", (store) => store.put({ ...record, file }));
  } catch {
    // private windows and full disks: resuming then needs the file to be chosen again
  }
}

export async function forgetUpload(url) {
  try {
    await ask("readwrite", (store) => store.delete(url));
  } catch {
    // there was nothing kept
  }
}

/** What earlier visits left of this submission, by upload. */
export async function keptUploads() {
  try {
    const records = await ask("readonly", (store) => store.index("submission").getAll(state.submission));
    return new Map(records.map((record) => [record.url, record]));
  } catch {
    return new Map();
  }
}

export async function forgetAll() {
  for (const url of (await keptUploads()).keys()) await forgetUpload(url);
}
