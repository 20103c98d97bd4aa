// Charts that are honest: axes that begin at zero, units, the figures themselves for whoever cannot see bars.

import { svg } from "./dom.js";
import { count } from "./format.js";

const HEIGHT = 240;
const LEFT = 52;
const BOTTOM = 28;
const TOP = 26;
const LABEL_WIDTH = 64;

/** The top of an axis: the next number whose quarters are round too, so that no tick lies about its place. */
export function roundUp(value) {
  if (value <= 4) return 4;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12, 20].map((step) => Math.round(step * unit)).find((top) => top >= value && top % 4 === 0);
}

/** Stacked bars. `bars` is [{label, name?, parts: [{kind, value}]}]; `unit` stands on the axis; `width` is what there is, in px. */
export function stackedBars({ title, unit, bars, width }) {
  const top = roundUp(Math.max(...bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0))));
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const step = (width - LEFT) / bars.length;
  const every = Math.ceil(LABEL_WIDTH / step);
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, class: "chart", role: "img", "aria-label": title },
    svg("text", { x: 0, y: 12, class: "unit" }, unit),
    [0, 0.25, 0.5, 0.75, 1].map((share) => [
      svg("line", { x1: LEFT, x2: width, y1: y(top * share), y2: y(top * share), class: share ? "grid" : "axis" }),
      svg("text", { x: LEFT - 8, y: y(top * share) + 4, "text-anchor": "end" }, count(top * share)),
    ]),
    bars.map((bar, place) => drawn(bar, place, { y, step, isLabelled: place % every === 0 })));
}

function drawn({ label, name = label, parts }, place, { y, step, isLabelled }) {
  const wide = Math.min(step * 0.7, 48);
  const x = LEFT + place * step + (step - wide) / 2;
  let below = 0;
  const rects = parts.filter(({ value }) => value > 0).map(({ kind, value }) => {
    const rect = svg("rect", { x, width: wide, y: y(below + value), height: y(below) - y(below + value), class: `bar ${kind}` },
      svg("title", {}, `${name}: ${count(value)} ${kind}`));
    below += value;
    return rect;
  });
  const text = isLabelled && svg("text", { x: x + wide / 2, y: HEIGHT - 8, "text-anchor": "middle" }, label);
  return [rects, text];
}
