// @ts-check
// What the reader chose. It is kept in the address, so that reloading, going back, and sending the address to somebody keep it.

const DEFAULTS = { span: "15m", window: "", start: "latest", windows: "any", state: "", reason: "", replica: "", theme: "auto", explain: "" };
const SPANS = { "5m": 300, "15m": 900, "1h": 3600 };

function readChoices() {
  const address = new URLSearchParams(location.search);
  const choices = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, address.get(name) ?? value]));
  if (!(choices.span in SPANS)) choices.span = DEFAULTS.span;
  if (!["auto", "light", "dark"].includes(choices.theme)) choices.theme = DEFAULTS.theme;
  if (!["any", "open", "closed"].includes(choices.windows)) choices.windows = DEFAULTS.windows;
  return choices;
}

let choices = readChoices();

/** Takes a choice, writes it to the address, and shows what follows from it. */
function choose(change) {
  Object.assign(choices, change);
  const address = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(choices)) {
    if (value === DEFAULTS[name]) address.delete(name);
    else address.set(name, value);
  }
  const query = address.toString();
  history.replaceState(null, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
  applyChoices();
}

/** Shows the choices in the controls, then everything that depends on them. */
function applyChoices() {
  const root = document.documentElement;
  const themed = root.dataset.theme ?? "auto";
  if (choices.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = choices.theme;
  if (themed !== choices.theme) forgetColours();
  root.classList.toggle("explained", choices.explain !== "");
  attribute(at("explain"), "aria-pressed", choices.explain !== "");
  at("choose-theme").value = choices.theme;
  at("choose-shown").value = choices.windows;
  for (const input of at("choose-span").querySelectorAll("input")) input.checked = input.value === choices.span;
  render();
}

function listenToChoices() {
  at("choose-theme").addEventListener("change", ({ target }) => choose({ theme: target.value }));
  at("choose-span").addEventListener("change", ({ target }) => choose({ span: target.value }));
  at("choose-shown").addEventListener("change", ({ target }) => choose({ windows: target.value }));
  at("choose-window").addEventListener("change", ({ target }) => choose({ window: target.value, start: "latest" }));
  at("choose-start").addEventListener("change", ({ target }) => choose({ start: target.value }));
  at("choose-replica").addEventListener("change", ({ target }) => choose({ replica: target.value }));
  at("explain").addEventListener("click", () => choose({ explain: choices.explain ? "" : "1" }));
  addEventListener("popstate", () => {
    choices = readChoices();
    applyChoices();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    forgetColours();
    render();
  });
}
