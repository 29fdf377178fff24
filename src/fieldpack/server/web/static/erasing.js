// Erasing goes on by itself, one request after another, until nobody is left or the page is.

const form = document.querySelector("form[data-going]");
setTimeout(() => form.requestSubmit(), 500);
