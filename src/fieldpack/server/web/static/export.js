// Look again until what is being made is ready, unless somebody is at work on the page.

setInterval(() => {
  const at = document.activeElement;
  if (!at || at === document.body || at === document.documentElement) location.reload();
}, 2000);
