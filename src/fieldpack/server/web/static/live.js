// An overview that is open stays up to date: the server tells of new numbers while it is looked at. Where something on
// the way keeps that back, the numbers are asked for every few seconds. Charts are fetched with the page, now and then.

const root = document.querySelector("[data-source]");
const status = document.querySelector("#live");

const SILENCE = 40_000; // ms; the server says something every 15 s
const ASK_EVERY = 5_000;
const TRY_AGAIN = 60_000;
const FETCH_EVERY = 30_000;

let source = null;
let silence = 0; // timers
let asking = 0;
let fetching = 0;
let fetchedAt = Date.now();
let triedAt = 0;
let errors = 0; // since something was heard

function show({ figures, gathered }) {
  for (const [name, text] of Object.entries(figures)) {
    const place = document.querySelector(`[data-figure="${CSS.escape(name)}"]`);
    if (place !== null && place.textContent !== text) place.textContent = text;
  }
  if (gathered !== null && gathered !== root.dataset.gathered) schedule();
}

function listen() {
  if (source !== null || document.hidden) return;
  triedAt = Date.now();
  source = new EventSource(root.dataset.source);
  source.addEventListener("figures", (event) => { heard(); show(JSON.parse(event.data)); });
  source.addEventListener("beat", heard);
  source.addEventListener("error", () => { // the browser tries again by itself, unless it was refused
    errors += 1;
    if (source?.readyState === EventSource.CLOSED || errors > 1) ask();
  });
  wait();
}

function heard() {
  clearTimeout(asking);
  errors = 0;
  wait();
  say("live");
}

function wait() {
  clearTimeout(silence);
  silence = setTimeout(ask, SILENCE);
}

function stop() {
  clearTimeout(silence);
  source?.close();
  source = null;
}

/** Ask for the numbers once, and again after a while. */
async function ask() {
  stop();
  clearTimeout(asking);
  if (document.hidden) return;
  try {
    const answer = await fetch(root.dataset.source, { headers: { Accept: "application/json" } });
    if (answer.status === 401 || answer.status === 403 || answer.status === 404) { location.reload(); return; }
    if (answer.ok) { show(await answer.json()); say("polled"); }
  } catch {
    say("lost");
  }
  if (Date.now() - triedAt > TRY_AGAIN) listen();
  asking = setTimeout(ask, ASK_EVERY);
}

function say(name) {
  const text = status.dataset[name];
  if (status.textContent !== text) status.textContent = text;
}

/** Fetch the page soon, for its charts. */
function schedule() {
  if (fetching !== 0 || document.hidden || "texts" in root.dataset) return;
  const due = root.dataset.gathered === "" ? 0 : fetchedAt + FETCH_EVERY - Date.now();
  fetching = setTimeout(fetchCharts, Math.max(0, due) + Math.random() * 1000);
}

function fetchCharts() {
  fetchedAt = Date.now();
  // a request that answers a document: markup in strings is made into elements nowhere here
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  request.setRequestHeader("Accept", "text/html");
  request.addEventListener("loadend", () => {
    fetching = 0;
    if (request.status !== 200 || request.response === null) return;
    const fresh = request.response.querySelector("[data-source]");
    if (fresh === null) { location.reload(); return; } // the page that signs in
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
      if (other === null || part.contains(document.activeElement) || part.isEqualNode(other)) continue;
      part.replaceWith(document.adoptNode(other));
    }
    root.dataset.gathered = fresh.dataset.gathered;
  });
  request.send();
}

if (root !== null) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stop(); clearTimeout(asking); } else listen();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  listen();
}
