// Elements from data. Text is only ever text: nothing here, or anywhere in the console, parses markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: attributes by name, listeners as functions under the event's name, children as nodes or text. */
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Makes `shown` look like `wanted` and leaves alone what is the same, so that focus and selection stay. */
export function morph(shown, wanted) {
  for (const { name } of [...shown.attributes]) if (!wanted.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  const [before, after] = [[...shown.childNodes], [...wanted.childNodes]];
  after.forEach((child, place) => {
    const old = before[place];
    if (old === undefined) shown.append(child);
    else if (old.nodeName !== child.nodeName) old.replaceWith(child);
    else if (child.nodeType === Node.TEXT_NODE) {
      if (old.data !== child.data) old.data = child.data;
    } else morph(old, child);
  });
  before.slice(after.length).forEach((old) => old.remove());
}

/** A listener that does nothing while it is still at it: nobody asks twice by a nervous finger. */
export function once(listener) {
  let isBusy = false;
  return async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    try {
      await listener(event);
    } finally {
      isBusy = false;
    }
  };
}

/** Tells a screen reader what changed, without moving anybody. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
