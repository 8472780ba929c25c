// How the player lays out its frame and draws what lies over it. Put before player.js.

const SVG = "http://www.w3.org/2000/svg";

// Outlines of the regions, in pixels of the cropped frame.
function drawOverlay(root, { width, height, crop, outlines }) {
  const scale = height / 720;
  const overlay = root.querySelector(".overlay");
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const moved = make("g", { transform: `translate(${crop ? crop[0] : 0} ${crop ? crop[1] : 0})` });
  for (const one of outlines) {
    const dash = one.dash ? { "stroke-dasharray": one.dash.split(" ").map((n) => Number(n) * scale).join(" ") } : {};
    moved.append(
      make("path", { d: one.d, class: "halo", "stroke-width": 4.5 * scale }),
      make("path", { d: one.d, stroke: one.color, "stroke-width": 2.5 * scale, ...dash, "data-region": one.number }),
    );
  }
  // A badge stands whole inside of the frame.
  const r = 15 * scale;
  const [right, bottom] = crop ? [crop[2] - crop[0], crop[3] - crop[1]] : [width, height];
  for (const one of outlines) {
    const x = Math.min(Math.max(one.x, r), right - r);
    const y = Math.min(Math.max(one.y, r), bottom - r);
    const text = make("text", { x, y, "font-size": 18 * scale });
    text.textContent = one.number;
    moved.append(make("circle", { cx: x, cy: y, r, fill: one.color, stroke: "#fff", "stroke-width": 2 * scale }), text);
  }
  overlay.replaceChildren(moved);
  overlay.setAttribute("hidden", "");
}

function drawCropBox(root, { width, height, crop }) {
  const box = root.querySelector(".cropbox");
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.replaceChildren();
  if (!crop) return;
  const [x0, y0, x1, y1] = crop;
  const rect = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  box.append(make("path", { d: `M0 0H${width}V${height}H0ZM${x0} ${y0}H${x1}V${y1}H${x0}Z` }), make("rect", rect));
}

// Show all of the frame, or the crop alone.
function layOut(root, { width, height, crop }, mode) {
  const [x0, y0, x1, y1] = mode === "apply" ? crop : [0, 0, width, height];
  const viewport = root.querySelector(".viewport");
  viewport.style.aspectRatio = `${x1 - x0} / ${y1 - y0}`;
  viewport.style.maxWidth = `calc(78vh * ${(x1 - x0) / (y1 - y0)})`;
  const inner = root.querySelector(".inner");
  inner.style.width = `${(100 * width) / (x1 - x0)}%`;
  inner.style.height = `${(100 * height) / (y1 - y0)}%`;
  inner.style.left = `${(-100 * x0) / (x1 - x0)}%`;
  inner.style.top = `${(-100 * y0) / (y1 - y0)}%`;
  root.querySelector(".cropbox").toggleAttribute("hidden", mode !== "box");
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
