// @ts-check
// What the reader chose. It is in the address, so that reloading, going back, and sending it to somebody keep it.

const DEFAULTS = { q: "", namespace: "", state: "", open: "", page: "1", theme: "auto" };

const readChoices = () => {
  const address = new URLSearchParams(location.search);
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, address.get(name) ?? value]));
};

const addressOf = (chosen) => {
  const address = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value !== DEFAULTS[name]));
  return `?${address}`;
};

let choices = readChoices();

function choose(change) {
  const isOpening = "open" in change && change.open !== choices.open;
  choices = { ...choices, ...change };
  history[isOpening ? "pushState" : "replaceState"](null, "", addressOf(choices));
  show(isOpening);
}
