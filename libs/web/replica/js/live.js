// @ts-check
// What keeps the page live: the stream of views, what is shown of it, and what is told to whoever does not look.

/** Without a view for so long, in milliseconds, the connection counts as lost: a view comes each second. */
const SILENCE = 5000;
/** How long after a failure that the browser does not mend by itself. */
const AGAIN = 3000;

let view = null;
let connection = "connecting";
let since = Date.now();
let held = false;
let stream = null;
let heard = 0;
let told = "";
let alerted = null;
let wanted = false;

/** Shows everything that the last view and the choices say, once before the next frame. */
function render() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    showHealth();
    if (!view) return;
    for (const show of [showHead, showFlow, showAudit, showInsight, showCounts, showAlerts, showDeadLetters, showWindows, showPartitions, showReplicas, showDelivery]) show(view);
    drawPlots();
    attribute(document.body, "data-value", view.time);
  });
}

let shownHealth = "";

function showHealth() {
  const { state, words, banner, level } = healthOf(view, connection, held, stuckFor());
  const element = at("health");
  if (shownHealth !== words) {
    if (shownHealth) since = Date.now();
    shownHealth = words;
  }
  attribute(element, "data-value", state);
  text(element.querySelector("strong"), words);
  text(element.querySelector("span"), state === "connecting" ? "" : state === "live" ? "updated each second" : `since ${clock(Math.floor(since / 1000))}`);
  hide(at("banner"), !banner);
  text(at("banner"), banner ?? "");
  attribute(at("banner"), "data-level", level ?? null);
  document.body.toggleAttribute("data-stale", state === "lost");
  document.title = `${state === "live" || !view ? "" : `${words} · `}${view ? `${view.pipeline.name} · ${rate(view.rates.processed + view.rates.dead_letters)}/s` : "Login pipeline"}`;
  tell(state, words, banner);
}

/** Tells screen readers of a change of health; alerts are told as they come. */
function tell(state, words, banner) {
  if (told !== words && told !== "") text(at("announcement"), `${words}. ${banner ?? ""}`);
  if (state !== "connecting") told = words;
}

function tellAlerts({ alerts }) {
  const keys = new Set(alerts.map(alertKey));
  const fresh = alerted ? [...keys].filter((key) => !alerted.has(key)) : [];
  alerted = keys;
  if (fresh.length === 0) return;
  text(at("announcement"), `${fresh.length === 1 ? "New alert" : `${count(fresh.length)} new alerts`}: ${alertSentence(alerts[0], stateNames)}`);
}

function take(data) {
  const next = JSON.parse(data);
  heard = performance.now();
  const missed = connection !== "live" || isBehind(next);
  connection = "live";
  addToPast(next);
  if (missed) fetchPast();
  if (held) return;
  view = next;
  at("health").querySelector(".pulse").classList.toggle("beat");
  tellAlerts(next);
  render();
}

/** The last hour: at the beginning, and whenever something of it was missed. Without it the plots begin now. */
async function fetchPast() {
  try {
    const answer = await fetch("view/history");
    if (answer.ok) setPast(await answer.json());
  } catch {
    return;
  }
  if (!held) render();
}

function connect() {
  stream?.close();
  heard = performance.now();
  stream = new EventSource("view/events");
  stream.addEventListener("view", ({ data }) => take(data));
  stream.addEventListener("error", () => lose());
}

function lose() {
  if (connection === "live" || performance.now() - heard > SILENCE || stream.readyState === EventSource.CLOSED) {
    connection = "lost";
    render();
  }
}

/** Looks after the connection: the browser gives up on some errors, and does not notice a silent end. */
function watch() {
  if (document.hidden) return;
  const silent = performance.now() - heard;
  if (silent > SILENCE) lose();
  if (silent > SILENCE || (stream.readyState === EventSource.CLOSED && silent > AGAIN)) connect();
}

/** A page that nobody sees asks for nothing. */
function followVisibility() {
  if (document.hidden) stream.close();
  else connect();
}

function listenToButtons() {
  at("hold").addEventListener("click", () => {
    held = !held;
    attribute(at("hold"), "aria-pressed", held);
    text(at("hold"), held ? "Go on" : "Pause");
    render();
  });
  for (const button of all("[data-more]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.more;
      if (!longer.delete(name)) longer.add(name);
      render();
    });
  }
}

makeMap();
explainAll();
listenToChoices();
listenToButtons();
applyChoices();
connect();
new ResizeObserver(() => fitPlots()).observe(document.querySelector(".four"));
setInterval(watch, 1000);
document.addEventListener("visibilitychange", followVisibility);
