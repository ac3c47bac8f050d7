// @ts-check
// The document: elements by their test id, and setters that touch it only where something changed.

const found = new Map();

/** The element of a test id that is always there. */
function at(name) {
  let element = found.get(name);
  if (!element) found.set(name, (element = document.querySelector(`[data-testid="${name}"]`)));
  return element;
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Sets an attribute, or removes it for null. */
function attribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

function hide(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Sets a number: its words, and its exact value for programs. */
function number(element, value, words) {
  text(element, words);
  attribute(element, "data-value", known(value) ? value : "");
}

/** Sets a share of 1 or a place between 0 and 1 as a custom property. */
function property(element, name, value) {
  const rounded = known(value) ? String(Math.round(value * 1000) / 1000) : "0";
  if (element.style.getPropertyValue(name) !== rounded) element.style.setProperty(name, rounded);
}

/** A new element. Children are elements, or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A new time, in Unix seconds, with UTC in its title. */
const timeElement = (seconds) => setTime(make("time"), seconds);

function setTime(element, seconds) {
  text(element, clock(seconds));
  attribute(element, "title", utc(seconds));
  return element;
}

const listed = new WeakMap();

/**
 * Makes the children of `parent` those of `items`, by key: what stays is updated in its place, and keeps focus and selection.
 * `create` makes an element of an item, `update` sets what changes.
 */
function list(parent, items, key, create, update) {
  const before = listed.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) now.set(key(item), item);
  for (const [name, element] of before) if (!now.has(name)) element.remove();
  const elements = new Map();
  let next = parent.firstElementChild;
  for (const [name, item] of now) {
    const element = before.get(name) ?? create(item);
    update(element, item);
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    elements.set(name, element);
  }
  listed.set(parent, elements);
}

/** All elements that a selector names. */
const all = (selector) => /** @type {HTMLElement[]} */ ([...document.querySelectorAll(selector)]);

/** Says what is missing, or shows the section instead. */
function emptyState(name, words) {
  const note = document.querySelector(`[data-empty="${name}"]`);
  text(note, words ?? "");
  hide(note, !words);
  for (const section of all(`[data-section="${name}"]`)) hide(section, Boolean(words));
}

/** Explanations: as titles for the pointer, as text for screen readers, and for everybody when they ask for it. */
function explainAll() {
  for (const element of all("[data-explain]")) {
    element.title = element.dataset.explain;
    (element.querySelector("dt") ?? element).append(make("span", { class: "explanation" }, ` ${element.dataset.explain}`));
  }
}
