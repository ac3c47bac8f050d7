// @ts-check
// The map of states: coloured by the counts of the chosen window, with arrow keys from state to state.

/** States too small to be hit or lettered: they have a square beside the map too. */
const SMALL = ["VT", "NH", "MA", "RI", "CT", "NJ", "DE", "MD", "DC"];
/** States whose two letters do not fit at their middle: moved there, in units of the drawing. */
const MOVED = { FL: [34, 0], LA: [-26, 0], MI: [26, 40], CA: [-10, 10], ID: [0, 40], HI: [-58, -30], AK: [0, -10], WV: [-10, 6], KY: [10, 4], VA: [14, 4] };
const SVG = "http://www.w3.org/2000/svg";

const stateNames = new Map();
const stateGroups = new Map();
let pointedState = null;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** The borders of the chosen state and of the one under the pointer: above all states, so that no neighbour covers them. */
const outlines = { chosen: svg("path", { class: "outline" }), pointed: svg("path", { class: "outline pointed" }) };

function outline(which, letters) {
  attribute(outlines[which], "d", stateGroups.get(letters)?.group.firstElementChild.getAttribute("d") ?? "");
}

/** Makes a group of each outline, with its letters, that can be pointed at, focused and chosen. */
function makeMap() {
  const map = at("map");
  for (const shape of [...map.querySelectorAll("path")]) {
    const letters = shape.id.slice("state-".length);
    const { name = letters, x, y } = shape.dataset;
    stateNames.set(letters, name);
    const group = svg("g", { "data-testid": `state-${letters}`, "data-state": letters, role: "button", tabindex: -1, "aria-pressed": false });
    shape.replaceWith(group);
    shape.removeAttribute("id");
    group.append(shape);
    const small = SMALL.indexOf(letters);
    const [dx, dy] = MOVED[letters] ?? [0, 0];
    if (small < 0) group.append(svg("text", { x: Number(x) + dx, y: Number(y) + dy }, letters));
    else {
      const top = 560 + small * 46;
      group.classList.add("aside");
      group.append(svg("rect", { x: 1826, y: top, width: 34, height: 34, rx: 6 }), svg("text", { x: 1872, y: top + 18 }, letters));
    }
    stateGroups.set(letters, { group, place: [Number(x), Number(y)] });
  }
  map.append(outlines.chosen, outlines.pointed);
  stateGroups.get("CA")?.group.setAttribute("tabindex", "0");
  listenToMap(map);
}

const stateOf = (target) => target.closest?.("[data-state]")?.dataset.state ?? null;

function listenToMap(map) {
  map.addEventListener("pointermove", (event) => point(stateOf(event.target), event));
  map.addEventListener("pointerleave", () => point(null));
  // On the drawing itself they would make it a stop of the Tab key.
  map.parentElement.addEventListener("focusin", ({ target }) => point(stateOf(target)));
  map.parentElement.addEventListener("focusout", () => point(null));
  map.addEventListener("click", ({ target }) => pick(stateOf(target)));
  map.addEventListener("keydown", (event) => {
    const from = stateOf(event.target);
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" || event.key === " ") pick(from);
    else if (event.key === "Escape") pick(choices.state);
    else if (step && from) focusState(neighbour(from, step), from);
    else return;
    event.preventDefault();
  });
}

function pick(letters) {
  if (letters !== null) choose({ state: letters === choices.state ? "" : letters });
}

/** The nearest state in a direction: what is ahead counts, what is aside counts double. */
function neighbour(from, [right, down]) {
  const [x, y] = stateGroups.get(from).place;
  let best = from;
  let least = Infinity;
  for (const [letters, { place }] of stateGroups) {
    const ahead = (place[0] - x) * right + (place[1] - y) * down;
    const aside = Math.abs((place[0] - x) * down) + Math.abs((place[1] - y) * right);
    if (letters === from || ahead <= 0 || aside > ahead * 2) continue;
    if (ahead + aside * 2 < least) [best, least] = [letters, ahead + aside * 2];
  }
  return best;
}

function focusState(to, from) {
  stateGroups.get(from).group.setAttribute("tabindex", "-1");
  stateGroups.get(to).group.setAttribute("tabindex", "0");
  stateGroups.get(to).group.focus();
}

let mapCounts = new Map();
let mapTotal = 0;
const stateSentence = (letters) => `${stateNames.get(letters) ?? letters}: ${logins(mapCounts.get(letters) ?? 0)}, ${share(mapCounts.get(letters) ?? 0, mapTotal)}`;

/** Shows the tip at the pointer, or over a focused state. */
function point(letters, event) {
  pointedState = letters;
  outline("pointed", letters);
  const tip = at("map").parentElement.querySelector(".tip");
  hide(tip, letters === null);
  if (letters === null) return;
  text(tip, stateSentence(letters));
  const frame = at("map").getBoundingClientRect();
  const shape = stateGroups.get(letters).group.firstElementChild.getBoundingClientRect();
  const x = (event ? event.clientX : shape.x + shape.width / 2) - frame.x;
  const y = (event ? event.clientY : shape.y) - frame.y;
  const left = Math.max(0, Math.min(x - tip.offsetWidth / 2, frame.width - tip.offsetWidth));
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(y - tip.offsetHeight - 12)}px)`;
}

/** Colours the map by the counts of a window; the others of its states, those that are none, are in the list beside it. */
function drawMap(counted) {
  mapCounts = new Map(counted.values.locale ?? []);
  mapTotal = counted.count;
  const top = roundUp(Math.max(1, ...[...stateGroups.keys()].map((letters) => mapCounts.get(letters) ?? 0)));
  for (const [letters, { group }] of stateGroups) {
    const value = mapCounts.get(letters) ?? 0;
    const level = mapClass(value, top);
    attribute(group, "data-value", value);
    attribute(group, "data-class", level);
    const square = group.querySelector("rect");
    if (square) attribute(square, "class", `c${level}`);
    attribute(group, "aria-pressed", letters === choices.state);
    attribute(group, "aria-label", `${letters}, ${stateSentence(letters)}`);
  }
  outline("chosen", choices.state);
  drawScale(top);
  const ranked = [...mapCounts].filter(([letters]) => stateNames.has(letters)).sort((a, b) => b[1] - a[1]);
  text(at("state-detail"), stateNames.has(choices.state) ? `${stateSentence(choices.state)}.` : mapSummary(ranked));
  if (pointedState) text(at("map").parentElement.querySelector(".tip"), stateSentence(pointedState));
}

function mapSummary(ranked) {
  if (ranked.length === 0) return "No state has a login in this window yet.";
  return `Most from ${ranked.slice(0, 3).map(([letters, n]) => `${stateNames.get(letters)} (${share(n, mapTotal)})`).join(", ")}.`;
}

function drawScale(top) {
  const ends = [0, ...MAP_ENDS.map((end) => Math.floor(top * end))];
  const steps = ends.map((end, level) => ({ level, words: level === 0 ? "0" : `to ${short(end)}`, empty: level > 0 && end <= ends[level - 1] }));
  list(document.querySelector(".scale"), steps.filter(({ empty }) => !empty), ({ level }) => level, ({ level }) => make("li", {}, make("i", { class: `s${level}` }), make("span")), (item, { words }) => text(item.lastElementChild, words));
}
