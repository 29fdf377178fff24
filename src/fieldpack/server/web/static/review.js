// Keys of a response's page: what they do is what the links and buttons that carry them do.

const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
  if (typing(event.target)) return;
  const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (found === null) return;
  event.preventDefault();
  if (found.matches("textarea")) found.focus();
  else if (found.matches("[value=reject], [value=return]") && needsWords(found.value)) wordsFirst(found.value);
  else found.click();
});

/** A rejection needs a reason and a message, asking back a message. */
function needsWords(action) {
  const message = document.querySelector("#message").value.trim();
  return message === "" || (action === "reject" && document.querySelector("#category").value === "");
}

function wordsFirst(action) {
  document.querySelector(action === "reject" ? "#category" : "#message").focus();
}
