// @ts-check
// The document: elements by their test id, setters that touch it only where something changed, and times that go on.

const found = new Map();
const at = (name) => found.get(name) ?? found.set(name, document.querySelector(`[data-testid="${name}"]`)).get(name);
const integers = new Intl.NumberFormat();
const names = new Intl.Collator(undefined, { numeric: true });
const count = (value) => (typeof value === "number" ? integers.format(value) : "–");

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function attribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const written = new WeakMap();

/** Makes the children of `parent` those of `items`, by key. One that says the same stays as it is, with focus and selection. */
function list(parent, items, key, create) {
  const before = written.get(parent) ?? new Map();
  const now = new Map();
  let next = parent.firstElementChild;
  for (const item of items) {
    const [name, said] = [key(item), JSON.stringify(item)];
    const old = before.get(name);
    let element = old?.element;
    if (old?.said !== said) {
      const focused = element?.contains(document.activeElement) ?? false;
      element = create(item);
      if (old) {
        if (old.element === next) next = next.nextElementSibling;
        old.element.replaceWith(element);
        if (focused) element.querySelector("a, button")?.focus();
      }
    }
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    now.set(name, { element, said });
  }
  for (const [name, { element }] of before) if (!now.has(name)) element.remove();
  written.set(parent, now);
}

/** How long ago: an element that is kept up to date. */
function ago(time) {
  if (!time) return make("span", {}, "–");
  const date = new Date(time);
  const element = make("time", { datetime: time, title: `${date.toLocaleString()}, ${date.toISOString()}` });
  return tick(element);
}

function tick(element) {
  const seconds = Math.max(0, (Date.now() + skew - new Date(element.dateTime).getTime()) / 1000);
  const [size, unit] = seconds < 60 ? [1, "s"] : seconds < 3600 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "d"];
  text(element, `${count(Math.floor(seconds / size))} ${unit}`);
  return element;
}

const tag = (words, level) => make("span", { class: `tag ${level}` }, words);
const keyOf = ({ namespace, name }) => `${namespace}/${name}`;
