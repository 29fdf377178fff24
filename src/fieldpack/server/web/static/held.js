// Decisions that are held: the seconds that are left, counted down. One that is made by now can't be undone any more.

const began = performance.now();
const notices = [...document.querySelectorAll(".held")].map((node) => ({
  node, seconds: Number(node.dataset.left), text: node.querySelector(".left"),
}));

if (notices.length > 0) {
  const timer = setInterval(() => {
    const passed = (performance.now() - began) / 1000;
    let some = false;
    for (const { node, seconds, text } of notices) {
      const left = Math.ceil(seconds - passed);
      if (left <= 0) { node.remove(); continue; }
      some = true;
      const said = text.textContent.replace(/\d+/, String(left));
      if (said !== text.textContent) text.textContent = said;
    }
    if (!some) clearInterval(timer);
  }, 250);
}
