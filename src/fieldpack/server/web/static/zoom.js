// A photo or page that is pressed is shown large, and larger, as far as its pixels go; arrows and dragging move it.

const box = document.querySelector("#zoom");
const stage = box.querySelector(".stage");
const image = stage.querySelector("img");
let scale = 0; // 0: as large as the window lets it be

function draw() {
  const { naturalWidth: width, naturalHeight: height } = image;
  const fit = Math.min(stage.clientWidth / width, stage.clientHeight / height, 1);
  const wanted = Math.max(scale || fit, fit);
  const middle = [
    (stage.scrollLeft + stage.clientWidth / 2) / (image.width || 1),
    (stage.scrollTop + stage.clientHeight / 2) / (image.height || 1),
  ];
  image.width = Math.round(width * wanted);
  image.height = Math.round(height * wanted);
  stage.scrollLeft = middle[0] * image.width - stage.clientWidth / 2;
  stage.scrollTop = middle[1] * image.height - stage.clientHeight / 2;
}

function zoom(by) {
  const now = image.width / image.naturalWidth || 1;
  scale = by === 0 ? 0 : Math.min(Math.max(now * by, 0.05), 8);
  draw();
}

image.addEventListener("load", draw);
addEventListener("resize", () => { if (box.open) draw(); });

for (const link of document.querySelectorAll("a[data-zoom]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    scale = 0;
    image.alt = link.querySelector("img").alt;
    image.src = link.href;
    box.showModal();
    if (image.complete) draw();
  });
}

stage.addEventListener("click", () => { if (!dragged) zoom(scale === 0 ? 1 / (image.width / image.naturalWidth) : 0); });

let held = null;
let dragged = false;
stage.addEventListener("pointerdown", (event) => {
  dragged = false;
  if (event.pointerType !== "mouse") return; // fingers scroll and pinch by themselves
  held = { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop };
});
stage.addEventListener("pointermove", (event) => {
  if (held === null) return;
  const [left, top] = [held.x - event.clientX, held.y - event.clientY];
  if (Math.abs(left - stage.scrollLeft) + Math.abs(top - stage.scrollTop) > 3) dragged = true;
  stage.scrollTo(left, top);
});
addEventListener("pointerup", () => { held = null; });

box.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  if ("close" in button.dataset) box.close();
  else zoom(Number(button.dataset.by));
});
box.addEventListener("keydown", (event) => {
  event.stopPropagation(); // the keys of the page behind it do nothing meanwhile
  const by = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  zoom(by);
});
box.addEventListener("close", () => { image.removeAttribute("src"); });
