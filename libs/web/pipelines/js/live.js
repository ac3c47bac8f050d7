// @ts-check
// What keeps the page live: the stream of rows, the controls, the clock.

let stream = null;

function connect() {
  stream?.close();
  stream = new EventSource("pipelines/events");
  stream.addEventListener("pipelines", ({ data }) => take(JSON.parse(data), true));
  stream.addEventListener("changes", ({ data }) => take(JSON.parse(data), false));
  stream.addEventListener("error", () => {
    connection = "lost";
    show(false);
  });
}

at("choose-theme").addEventListener("change", ({ target }) => choose({ theme: target.value }));
at("choose-namespace").addEventListener("change", ({ target }) => choose({ namespace: target.value, page: "1" }));
at("choose-q").addEventListener("input", ({ target }) => choose({ q: target.value, page: "1" }));
at("choose-state").addEventListener("click", ({ target }) => target.dataset.state !== undefined && choose({ state: target.dataset.state, page: "1" }));
at("clear").addEventListener("click", () => { at("choose-q").value = ""; choose({ q: "", namespace: "", state: "", page: "1" }); });
for (const [name, step] of [["previous", -1], ["next", 1]]) at(name).addEventListener("click", () => choose({ page: String((Number.parseInt(choices.page, 10) || 1) + step) }));
const isPlain = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
at("pipelines").addEventListener("click", (event) => {
  const key = event.target.closest("tr")?.dataset.key;
  if (!key || !isPlain(event) || String(getSelection())) return;
  event.preventDefault();
  openedAsked = -ANEW;
  choose({ open: key });
  ask();
});
at("back").addEventListener("click", (event) => {
  if (!isPlain(event)) return;
  event.preventDefault();
  choose({ open: "" });
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !at("list").hidden && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    at("choose-q").focus();
  } else if (event.key === "Escape" && choices.open) choose({ open: "" });
});
addEventListener("popstate", () => {
  choices = readChoices();
  openedAsked = -ANEW;
  show(true);
});
addEventListener("visibilitychange", () => (document.hidden ? stream.close() : connect()));
setInterval(() => {
  for (const element of document.querySelectorAll("main time")) tick(element);
  if (stream.readyState === EventSource.CLOSED && !document.hidden) connect();
  ask();
}, 1000);
show(false);
connect();
