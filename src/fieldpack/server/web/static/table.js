// Keys of lists, of collections and of responses: j and k move, Enter opens, u undoes, / goes to the search. The options of the
// question that is chosen are offered while somebody types, and columns change places without a new page.

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

const question = document.querySelector("#question");
const test = document.querySelector("#test");
const operand = document.querySelector("#operand");

if (question !== null && operand !== null) {
  const offer = () => {
    const options = document.getElementById(`options-${question.value}`);
    if (options !== null && test.value === "is") operand.setAttribute("list", options.id);
    else operand.removeAttribute("list");
    operand.disabled = ["answered", "missing", "left"].includes(test.value);
  };
  question.addEventListener("change", () => {
    // of options one is meant, of a text a part
    const wanted = document.getElementById(`options-${question.value}`) === null ? "contains" : "is";
    if (test.value === "is" || test.value === "contains") test.value = wanted;
    offer();
  });
  test.addEventListener("change", offer);
  offer();
}

document.querySelector("#columns")?.addEventListener("click", (event) => {
  const link = event.target.closest("[data-move]");
  if (link === null) return;
  event.preventDefault();
  const item = link.closest("li");
  const other = link.dataset.move === "1" ? item.nextElementSibling : item.previousElementSibling;
  if (other === null) return;
  if (link.dataset.move === "1") other.after(item);
  else other.before(item);
  link.focus();
});
