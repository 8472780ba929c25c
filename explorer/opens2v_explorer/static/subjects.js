// Lights up what belongs to one region, shows its scores, and says in words why a picture is not there.

const placed = new WeakMap();
const wired = new WeakSet();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".stage-root");
  if (!root || placed.get(root) === data.html) return;
  placed.set(root, data.html);
  root.innerHTML = data.html; // escaped by stage.py
  root.querySelectorAll(".picture img").forEach(watch);
  if (wired.has(root)) return;
  wired.add(root);
  root.addEventListener("pointerover", (event) => light(root, regionOf(event.target)));
  root.addEventListener("pointerleave", () => light(root, null));
  root.addEventListener("focusin", (event) => light(root, regionOf(event.target)));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") light(root, null);
  });
}

function regionOf(target) {
  return target.closest ? target.closest("[data-region]") : null;
}

function light(root, element) {
  const numbers = element ? element.dataset.region.split(" ") : [];
  const lit = numbers.join(" ");
  if (root.dataset.lit === lit) return;
  root.dataset.lit = lit;
  root.classList.toggle("has-lit", numbers.length > 0);
  const said = [];
  for (const one of root.querySelectorAll("[data-region]")) {
    const isLit = one.dataset.region.split(" ").some((number) => numbers.includes(number));
    one.classList.toggle("is-lit", isLit);
    if (isLit && one.dataset.scores) said.push(one.dataset.scores);
  }
  const panel = root.querySelector(".panel");
  if (!panel) return;
  panel.textContent = said.join(" ") || panel.dataset.hint;
  panel.classList.toggle("is-on", said.length > 0);
}

function watch(image) {
  const failed = () => tell(image);
  image.addEventListener("error", failed, { once: true });
  if (image.complete && image.src && image.naturalWidth === 0) failed();
}

async function tell(image) {
  const place = image.parentElement.querySelector(".state");
  if (!place || !place.hidden) return;
  let state = { state: "unreachable", title: "No answer", detail: "The explorer did not answer.", advice: "Reload the page." };
  try {
    const answer = await fetch(image.src, { headers: { Accept: "application/json" } });
    if (!answer.ok) state = await answer.json();
  } catch {
    // Said above.
  }
  image.hidden = true;
  place.hidden = false;
  place.dataset.state = state.state;
  place.replaceChildren(Object.assign(document.createElement("strong"), { textContent: state.title }), state.detail || "");
}
