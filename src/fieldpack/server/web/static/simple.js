// Copy buttons, moments in the reader's time, and forms that are sent once however often their button is pressed.

import { showMoments } from "./moments.js";

showMoments();

for (const form of document.querySelectorAll("form[method=post]:not([data-passkey], [data-download])")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  // whoever comes back to the page may press again
  addEventListener("pageshow", (event) => { if (event.persisted) sent = false; });
}

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
