// The gallery as one long list: thousands of tiles scroll by, a few hundred of them are there at a time. A tile opens
// large with the answers beside it; what is chosen stays so while tiles come and go.

import { make, say } from "./dom.js";

const list = document.querySelector("#tiles");
const MOST_NODES = 480;
const ROWS_AHEAD = 8; // above and below what is seen

if (list !== null) begin();

function begin() {
  const form = document.querySelector("#chosen");
  const tiles = [...list.children].map((node) => JSON.parse(node.dataset.tile));
  const chosen = new Set([...list.querySelectorAll("input:checked")].map((input) => input.value));
  const nodes = new Map(); // by place, those that are in the document
  let more = list.dataset.more ?? null;
  let asking = false;
  let drawn = false;
  let columns = 1;
  let rowHeight = 1;

  form.querySelector(".pages").remove(); // scrolling does what its links did
  [...list.children].forEach((node, place) => { nodes.set(place, node); mark(node, place); });
  measure();
  draw();
  showChosen();

  addEventListener("scroll", schedule, { passive: true });
  new ResizeObserver(() => { measure(); schedule(); }).observe(list);

  function measure() {
    const style = getComputedStyle(list);
    columns = Math.max(1, style.gridTemplateColumns.split(" ").length);
    rowHeight = parseFloat(style.gridAutoRows) + parseFloat(style.rowGap);
  }

  function schedule() {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => { drawn = false; draw(); });
  }

  /** Put the tiles around what is seen into the document, take the others out, and hold their place by padding. */
  function draw() {
    const rows = Math.ceil(tiles.length / columns);
    const top = -list.getBoundingClientRect().top;
    const seen = Math.ceil(innerHeight / rowHeight);
    const most = Math.max(1, Math.floor(MOST_NODES / columns));
    const ahead = Math.max(0, Math.min(ROWS_AHEAD, Math.floor((most - seen) / 2)));
    const first = Math.max(0, Math.min(Math.floor(top / rowHeight) - ahead, rows - 1));
    const last = Math.min(rows, first + Math.min(most, seen + 2 * ahead + 1));
    const from = first * columns;
    const to = Math.min(tiles.length, last * columns);
    for (const [place, node] of nodes) {
      if (place >= from && place < to) continue;
      node.remove();
      nodes.delete(place);
    }
    let next = null;
    for (let place = to - 1; place >= from; place--) {
      let node = nodes.get(place);
      if (node === undefined) {
        node = draft(tiles[place], place);
        nodes.set(place, node);
        list.insertBefore(node, next);
      }
      next = node;
    }
    list.style.paddingBlockStart = `${first * rowHeight}px`;
    list.style.paddingBlockEnd = `${(rows - last) * rowHeight}px`;
    if (to > tiles.length - 2 * MOST_NODES) ask();
  }

  async function ask() {
    if (asking || more === null) return;
    asking = true;
    try {
      const answer = await fetch(more, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) { more = null; return; }
      const found = await answer.json();
      tiles.push(...found.tiles);
      more = found.more;
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, 2000); });
    } finally {
      asking = false;
    }
    schedule();
  }

  function draft(tile, place) {
    const picture = tile.thumbnail === null
      ? make("span", { class: "tile-card" }, make("b", { "aria-hidden": "true" }, tile.label), make("span", { dir: "auto" }, tile.name))
      : make("img", { src: tile.thumbnail, alt: tile.name, decoding: "async" });
    const node = make("li", { class: "tile" }, make("a", { href: tile.href }, picture));
    if (tile.pending !== null) node.append(make("span", { class: "tag tag-pending", dir: "auto" }, tile.pending));
    if (tile.first) {
      const label = list.dataset.choose.replace("{name}", () => tile.participant);
      node.append(make("label", { class: "pick" }, make("input", { type: "checkbox", value: tile.submission, "aria-label": label })));
    }
    mark(node, place);
    return node;
  }

  function mark(node, place) {
    node.dataset.place = place;
    node.setAttribute("aria-posinset", place + 1);
    node.setAttribute("aria-setsize", more === null ? tiles.length : -1);
    const input = node.querySelector("input");
    if (input === null) return;
    input.removeAttribute("name"); // all that is chosen is sent in one field, seen or not
    input.checked = chosen.has(input.value);
  }

  // choosing

  list.addEventListener("change", (event) => { choose(event.target.value, event.target.checked); });

  function choose(submission, wanted) {
    if (wanted && chosen.size < Number(form.dataset.most)) chosen.add(submission);
    else chosen.delete(submission);
    for (const input of list.querySelectorAll("input")) input.checked = chosen.has(input.value);
    showChosen();
  }

  function showChosen() {
    form.elements.chosen.value = [...chosen].join(" ");
    const number = form.querySelector("output");
    number.hidden = false;
    say(number, chosen.size === 0 ? number.dataset.none : String(chosen.size));
    form.querySelector(".choice").classList.toggle("some", chosen.size > 0);
  }

  // looking closely

  const box = document.querySelector("#lightbox");
  const shown = box.querySelector(".shown");
  const said = box.querySelector(".said");
  let at = -1;
  let answers = null; // the request for what stands beside the picture

  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    show(Number(link.parentElement.dataset.place));
  });

  function show(place) {
    if (!(place in tiles)) return;
    at = place;
    const tile = tiles[place];
    if (place > tiles.length - 20) ask();
    shown.replaceChildren(enlarge(tile));
    box.querySelector("h2").textContent = tile.participant;
    box.querySelector("[data-open]").href = tile.href;
    say(said, "");
    showAnswers(tile.submission);
    if (!box.open) box.showModal();
  }

  function enlarge(tile) {
    if (tile.kind === "film") return make("video", { controls: true, preload: "metadata", src: tile.source, poster: tile.large });
    if (tile.kind === "sound") return make("audio", { controls: true, preload: "metadata", src: tile.source });
    const source = tile.kind === "picture" ? tile.source : tile.large;
    if (source === null) return make("a", { href: tile.source, class: "button", download: tile.name }, tile.name);
    return make("img", { src: source, alt: tile.name, onclick: (event) => event.target.classList.toggle("near") });
  }

  async function showAnswers(submission) {
    const tag = box.querySelector(".tag:not(.tag-pending)");
    const pending = box.querySelector(".tag-pending");
    const texts = box.querySelector("dl");
    answers?.abort();
    answers = new AbortController();
    texts.replaceChildren();
    tag.textContent = "";
    pending.hidden = true;
    try {
      const answer = await fetch(`/workbench/submissions/${submission}/answers`, { headers: { Accept: "application/json" }, signal: answers.signal });
      if (!answer.ok) return;
      const found = await answer.json();
      tag.textContent = found.state;
      pending.textContent = found.pending ?? "";
      pending.hidden = found.pending === null;
      texts.replaceChildren(...found.answers.flatMap(({ title, lines }) => [
        make("dt", { dir: "auto" }, title), make("dd", { dir: "auto" }, lines.join("\n")),
      ]));
    } catch (error) {
      if (error.name !== "AbortError") say(said, String(error.message));
    }
  }

  async function approve() {
    const button = box.querySelector("[data-approve]");
    if (button === null) return;
    const place = at;
    const { submission } = tiles[place];
    // the answer of a decision that was made is a redirect, which is not followed
    const answer = await fetch(`/workbench/submissions/${submission}`, {
      method: "POST", body: new URLSearchParams({ go: "approve" }), redirect: "manual",
    });
    if (!box.open || at !== place) return; // somebody has gone on by themselves, or closed it
    if (answer.type !== "opaqueredirect") say(said, button.dataset.failed);
    else step(1);
  }

  /** Take the last decision back, as long as it is held. */
  async function undo() {
    const button = box.querySelector("[data-approve]");
    if (button === null) return;
    const answer = await fetch(box.dataset.undo, {
      method: "POST", body: new URLSearchParams({ place: "gallery" }), redirect: "manual",
    });
    if (!box.open) return;
    if (answer.type === "opaqueredirect") showAnswers(tiles[at].submission);
    say(said, answer.type === "opaqueredirect" ? button.dataset.undone : button.dataset.nothing);
  }

  function step(by) {
    show(at + by);
  }

  function pick() {
    choose(tiles[at].submission, !chosen.has(tiles[at].submission));
    say(said, form.querySelector("output").textContent);
  }

  box.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    if (button.dataset.step) step(Number(button.dataset.step));
    else if ("approve" in button.dataset) approve();
    else if ("pick" in button.dataset) pick();
    else if ("close" in button.dataset) box.close();
  });

  box.addEventListener("close", () => {
    shown.replaceChildren(); // a film would go on
    answers?.abort();
    scrollTo(at);
  });

  /** Bring a tile into view, and let it have the focus. */
  function scrollTo(place) {
    if (!nodes.has(place)) {
      scroll({ top: scrollY + list.getBoundingClientRect().top + Math.floor(place / columns) * rowHeight - innerHeight / 3 });
      draw();
    }
    nodes.get(place)?.querySelector("a").focus();
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (box.open) {
      if (event.target.closest("video, audio") !== null) return;
      const work = { j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1), a: approve, u: undo, x: pick }[event.key];
      if (work === undefined) return;
      event.preventDefault();
      work();
      return;
    }
    if (event.target.closest("input:not([type=checkbox]), textarea, select") !== null) return;
    const tile = event.target.closest(".tile");
    const by = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (by !== undefined && (tile !== null || event.key === "j")) {
      const place = tile === null ? 0 : Number(tile.dataset.place) + by;
      if (!(place in tiles)) return;
      event.preventDefault();
      scrollTo(place);
    } else if (event.key === "x" && tile !== null) {
      const { submission } = tiles[Number(tile.dataset.place)];
      choose(submission, !chosen.has(submission));
    } else if (event.key === "u") {
      document.querySelector("[data-key=u]")?.click();
    } else if (event.key === "/") {
      event.preventDefault();
      document.querySelector("#search").focus();
    }
  });
}
