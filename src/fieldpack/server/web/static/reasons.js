// A message to begin with, for the reason that is chosen; what somebody wrote is never replaced.

const category = document.querySelector("#category");
const message = document.querySelector("#message");

category?.addEventListener("change", () => {
  const texts = [...category.options].map((option) => option.dataset.text).filter(Boolean);
  const written = message.value.trim();
  if (written === "" || texts.includes(written)) message.value = category.selectedOptions[0].dataset.text ?? "";
});
