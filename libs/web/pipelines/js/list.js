// @ts-check
// The head of the page, and the list of pipelines.

/** Pipelines on one page. */
const PAGE = 50;

const isLike = (row, { q, namespace }) => {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const said = [row.namespace, row.name, row.reason, row.source, row.kafka, row.message].join(" ").toLowerCase();
  return (!namespace || row.namespace === namespace) && words.every((word) => said.includes(word));
};
const inOrder = (one, other) => RANK.get(one.state) - RANK.get(other.state) || names.compare(keyOf(one), keyOf(other));

function show(isOpening) {
  const root = document.documentElement;
  if (choices.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = choices.theme;
  at("choose-theme").value = choices.theme;
  showHead();
  const isOpen = choices.open !== "";
  at("empty").hidden = !isListed || rows.size > 0;
  at("list").hidden = !isListed || isOpen || rows.size === 0;
  at("opened").hidden = !isOpen || !isListed || rows.size === 0;
  if (!at("list").hidden) showList();
  if (isOpen) showOpened();
  if (isOpening && isOpen) at("opened-title").focus();
  if (isOpening && !isOpen) document.getElementById(`open-${lastOpened}`)?.focus();
  if (isOpen) lastOpened = choices.open;
}

function showHead() {
  const states = { starting: "Starting", "stands-by": "Standing by", unknown: "Waiting" };
  const words = connection === "lost" ? "Connection lost" : connection === "waiting" ? "Connecting" : (states[head?.state] ?? "Live");
  attribute(at("health"), "data-value", connection !== "live" ? connection : isListed ? "live" : "waiting");
  text(at("health").querySelector("strong"), words);
  document.body.toggleAttribute("data-stale", connection === "lost");
  const [sentence, command] = banner();
  at("banner").hidden = !sentence;
  attribute(at("banner"), "data-level", connection === "lost" ? "bad" : null);
  text(at("banner").querySelector("p"), sentence);
  at("banner").querySelector("pre").hidden = !command;
  text(at("banner").querySelector("pre"), command);
  if (!head) return;
  text(at("version"), head.operator);
  text(at("watched"), head.namespaces ? `the namespaces ${head.namespaces.join(", ")}` : "all namespaces");
  const of = (state) => [...rows.values()].filter((row) => row.state === state).length;
  const parts = STATES.map(([state, words]) => [of(state), words.toLowerCase()]).filter(([n]) => n > 0).map(([n, words]) => `${count(n)} ${words}`);
  const sum = !isListed ? "Nothing is listed here." : rows.size === 0 ? "There is none." : rows.size === 1 ? `One pipeline, ${parts[0].slice(2)}.` : parts.length === 1 ? `${count(rows.size)} pipelines, all ${parts[0].replace(/^\S+ /, "")}.` : `${count(rows.size)} pipelines: ${parts.join(", ")}.`;
  text(at("sentence"), sum);
  const trouble = of("stalled") + of("degraded") + of("not-ready");
  document.title = `${trouble ? `${trouble} in trouble · ` : ""}Login pipelines`;
}

/** What stands above everything, and what to type about it. */
function banner() {
  if (connection === "lost") return ["The operator does not answer. What is below was so when it last did; this page tries again by itself. A port-forward that has ended must be started anew.", ""];
  if (head?.state === "stands-by") return [`This operator stands by: another leads, and knows the pipelines. It is pod ${head.leader}, to be reached so:`, `kubectl -n ${head.leader_namespace} port-forward pod/${head.leader} 8080`];
  if (head?.state === "starting") return ["This operator leads, and has not listed the pipelines yet. If that lasts, its log says why.", ""];
  if (head?.state === "unknown") return ["Nobody leads that this operator knows of. If that lasts, look whether it reaches the API server: its log says so.", ""];
  return ["", ""];
}

function showList() {
  const chosen = [...rows.values()].filter((row) => isLike(row, choices));
  const states = [["", "All", chosen.length], ...STATES.map(([state, words]) => [state, words, chosen.filter((row) => row.state === state).length])];
  list(at("choose-state"), states.map((state) => [...state, choices.state === state[0]]), ([state]) => state, ([state, words, n, isChosen]) => make("button", { type: "button", "aria-pressed": String(isChosen), "data-state": state }, `${words} ${count(n)}`));
  const namespaces = [...new Set([...rows.values()].map(({ namespace }) => namespace))].sort();
  if (choices.namespace && !namespaces.includes(choices.namespace)) namespaces.push(choices.namespace);
  list(at("choose-namespace"), ["", ...namespaces], (name) => name, (name) => make("option", { value: name }, name || "All namespaces"));
  at("choose-namespace").value = choices.namespace;
  if (at("choose-q").value !== choices.q && document.activeElement !== at("choose-q")) at("choose-q").value = choices.q;
  const shown = chosen.filter((row) => !choices.state || row.state === choices.state).sort(inOrder);
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  const page = Math.min(Math.max(1, Number.parseInt(choices.page, 10) || 1), pages);
  at("nothing").hidden = shown.length > 0;
  at("pages").hidden = pages === 1;
  at("previous").disabled = page === 1;
  at("next").disabled = page === pages;
  text(at("place"), `${count((page - 1) * PAGE + 1)} to ${count(Math.min(page * PAGE, shown.length))} of ${count(shown.length)}`);
  list(at("pipelines"), shown.slice((page - 1) * PAGE, page * PAGE), keyOf, line);
}

function line(row) {
  const { ready, wanted } = row.replicas;
  const why = row.state === "ready" ? "" : row.message;
  return make("tr", { "data-testid": "pipeline", "data-key": keyOf(row), "data-state": row.state },
    make("td", {}, tag(NAMES.get(row.state), LEVELS.get(row.state))),
    make("th", { scope: "row" }, make("a", { id: `open-${keyOf(row)}`, href: addressOf({ ...choices, open: keyOf(row) }), "data-open": keyOf(row) }, row.name), make("span", { class: "soft" }, row.namespace), make("span", { class: "soft instead" }, row.state === "ready" ? "" : row.reason)),
    make("td", { class: "narrow" }, make("span", { class: "clipped", title: why }, make("b", {}, row.reason || "New"), why ? ` ${why}` : "")),
    make("td", { class: "n" }, make("span", { class: row.state !== "paused" && wanted !== null && ready < wanted ? "short" : "" }, `${count(ready)} / ${count(wanted)}`)),
    make("td", { class: "n narrow" }, count(row.lag)),
    make("td", { class: "n narrow" }, row.rate === null ? "–" : `${count(row.rate)}/s`),
    make("td", { class: "n wide" }, ago(row.since)));
}
