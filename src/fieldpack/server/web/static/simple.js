// Copy buttons.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const status = button.parentElement.querySelector(".copied");
    let text = button.dataset.done;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      text = copyOldWay(button) ? button.dataset.done : button.dataset.failed;
    }
    const before = button.dataset.label ??= button.textContent;
    status.textContent = text;
    button.textContent = text;
    setTimeout(() => { status.textContent = ""; button.textContent = before; }, 3000);
  });
}

/** Without a secure connection there is no clipboard but this one. */
function copyOldWay(button) {
  const field = document.createElement("textarea");
  field.value = button.dataset.copy;
  field.className = "visually-hidden";
  button.after(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  button.focus();
  return done;
}
