// Keys of lists, of collections and of responses: j and k move, Enter opens, u undoes, / goes to the search.

const links = [...document.querySelectorAll(".responses tbody th a, .responses h2 a")];
const typing = (target) => target.closest("input, textarea, select") !== null;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("#search").focus();
  }
  if (event.key === "u") document.querySelector("[data-key=u]")?.click();
  const step = { j: 1, k: -1 }[event.key];
  if (step === undefined || links.length === 0) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? 0 : at + step;
  if (next in links) links[next].focus();
  else document.querySelector(step > 0 ? "[rel=next]" : "[rel=prev]")?.click();
});
