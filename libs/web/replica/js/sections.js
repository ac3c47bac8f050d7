// @ts-check
// The parts of the page: each function shows one of them, from a view and the choices.

/** Lists that show more when asked: how many at first. */
const SHORT = { windows: 10, alerts: 5, replicas: 12 };
const longer = new Set();
const HIGHEST_ROWS = 32;
const CELLS = 128;
/** A partition this many seconds behind the others holds the windows back. */
const HOLDING = 60;

/** The first of a list, all of it when the reader asked; and a button that asks. */
function shortened(name, items) {
  const button = document.querySelector(`[data-more="${name}"]`);
  const cut = items.length > SHORT[name];
  hide(button, !cut);
  text(button, longer.has(name) ? "Show fewer" : `Show all ${count(items.length)}`);
  attribute(button, "aria-expanded", longer.has(name));
  return cut && !longer.has(name) ? items.slice(0, SHORT[name]) : items;
}

function showHead(view) {
  const { pipeline, scope, replicas } = view;
  text(at("pipeline"), pipeline.name);
  const where = scope === "replica" && replicas.length === 1 ? `Replica ${replicas[0].name} of the login pipeline in namespace ${pipeline.namespace}` : `Login pipeline in namespace ${pipeline.namespace} · ${count(replicas.length)} ${replicas.length === 1 ? "replica" : "replicas"}`;
  text(at("scope"), where);
  attribute(at("scope"), "title", `Revision ${pipeline.revision} of the configuration`);
  text(at("sentence"), sentenceOf(view));
}

function showFlow(view) {
  const { rates, totals, topics, lag } = view;
  const dead = sum(Object.values(totals.dead_letters));
  const now = rates.processed + rates.dead_letters;
  const checked = totals.processed + dead;
  number(at("rate-source"), now, rate(now));
  number(at("rate-processed"), rates.processed, rate(rates.processed));
  number(at("rate-dead-letters"), rates.dead_letters, rate(rates.dead_letters));
  const valid = now > 0 ? rates.processed / now : checked > 0 ? totals.processed / checked : null;
  number(at("valid"), valid, share(valid, 1));
  number(at("lag"), lag, count(lag));
  number(at("total-processed"), totals.processed, count(totals.processed));
  number(at("total-dead-letters"), dead, count(dead));
  number(at("windows-open"), view.windows_open, count(view.windows_open));
  text(document.querySelector('[data-unit="windows-open"]'), view.windows_open === 1 ? "window open" : "windows open");
  number(at("total-windows-closed"), totals.windows_closed, count(totals.windows_closed));
  number(at("total-alerts"), totals.alerts, count(totals.alerts));
  at("total-alerts").closest(".node").classList.toggle("some", totals.alerts > 0);
  for (const [name, topic] of [["source", topics.source], ["output", topics.output], ["dead-letters", topics.dead_letters], ["aggregates", topics.aggregates], ["alerts", topics.alerts]]) {
    text(at(`topic-${name}`), topic ?? "no aggregation");
    attribute(at(`topic-${name}`), "title", topic ? `Topic ${topic}` : null);
  }
}

const AUDIT = {
  sent: ["Sent", "Logins written to the source in this run."],
  audited: ["Found again", "Logins that were looked up in the topics of the results, one by one."],
  lost: ["Lost", "Logins that are in none of them. There should be none, ever."],
  duplicated: ["Doubled", "Logins that are there more than once. There should be none, ever."],
  other: ["Otherwise wrong", "Records that are out of order, in the wrong place, changed, or from no login. There should be none, ever."],
};

function showAudit({ audit }) {
  hide(document.querySelector('[data-section="audit"]'), !audit);
  if (!audit) return;
  const items = Object.entries(audit).filter(([, value]) => value === null || known(value));
  list(at("audit"), items, ([name]) => name, ([name]) => {
    const [label, meaning] = AUDIT[name] ?? [name.replaceAll("_", " "), ""];
    return make("div", { title: meaning }, make("dt", {}, label, make("span", { class: "explanation" }, ` ${meaning}`)), make("dd", { "data-testid": `audit-${name}` }));
  }, (item, [name, value]) => {
    number(item.lastElementChild, value, count(value));
    attribute(item, "class", name in NO_FAULTS || !known(value) ? null : value > 0 ? "bad" : "good");
  });
  text(at("audit-sentence"), faultsOf(audit).length ? "Something is wrong: what the pipeline wrote is not what was sent." : "While the pipeline runs, each login that was sent is looked up in what it wrote. Nothing is wrong so far.");
}

/** The window that the reader chose, else the newest of the chosen size; null where there is none. */
function chosenWindow({ windows }) {
  const sizes = [...new Set(windows.map((one) => one.window))].sort((a, b) => sizeOrder(a) - sizeOrder(b));
  const size = sizes.includes(choices.window) ? choices.window : sizes.at(-1);
  const ofSize = windows.filter((one) => one.window === size);
  const named = ofSize.find(({ start }) => String(start) === choices.start);
  return { sizes, size, ofSize, counted: named ?? ofSize[0] ?? null, gone: choices.start !== "latest" && !named };
}

function showCounts(view) {
  const { sizes, size, ofSize, counted, gone } = chosenWindow(view);
  emptyState("counts", counted ? null : view.topics.aggregates ? "Where logins come from, on which devices, and with which versions of the app: here as soon as the first of them are counted." : "This pipeline counts nothing: its resource has no aggregation. Logins are checked and written on.");
  hide(at("choose-window"), !counted);
  hide(at("choose-start").parentElement, !counted || ofSize.length < 2);
  hide(at("window-sentence"), !counted);
  if (!counted) return;
  showWindowChoice(sizes, size, ofSize, gone);
  text(at("window-sentence"), windowSentence(counted, gone));
  attribute(at("window-sentence"), "title", known(counted.end) ? `${utc(counted.start)} to ${utc(counted.end)}` : null);
  for (const [name, value] of [["count", counted.count], ["unique-users", counted.unique_users], ["late", counted.late], ["unmerged", counted.unmerged]]) number(at(`window-${name}`), value, count(value));
  drawMap(counted);
  showDimensions(counted);
}

function showWindowChoice(sizes, size, ofSize, gone) {
  list(at("choose-window"), sizes, (one) => one, (one) => make("label", {}, make("input", { type: "radio", name: "window", value: one }), make("span", {}, sizeName(one))), (label, one) => {
    if (label.firstElementChild.checked !== (one === size)) label.firstElementChild.checked = one === size;
  });
  const options = ["latest", ...ofSize.map(({ start }) => String(start))];
  const names = new Map(ofSize.map((one) => [String(one.start), windowName(one)]));
  list(at("choose-start"), options, (start) => start, (start) => make("option", { value: start }), (option, start) => text(option, names.get(start) ?? "Latest window"));
  const start = gone ? "latest" : choices.start;
  if (at("choose-start").value !== start) at("choose-start").value = start;
}

function windowSentence(counted, gone) {
  const began = gone ? "The window of the address is not kept any more; this is the latest. " : "";
  if (!known(counted.end)) return `${began}Every valid login since the pipeline began.`;
  return `${began}Valid logins from ${windowName(counted)}, ${windowState(counted).sentence}${counted.partial ? " It is partial: the rules changed in its midst." : ""}${counted.truncated ? " It has more values than are kept." : ""}`;
}

/** Whether a window still counts, for a tag and in a sentence. */
function windowState({ closed, revision }) {
  if (!closed) return { tag: "open", level: "info", sentence: "still counting." };
  if (revision > 0) return { tag: revision === 1 ? "revised" : `revised ${count(revision)}×`, level: "warn", sentence: "closed, and revised since by late logins." };
  return { tag: "closed", level: "", sentence: "closed." };
}

const VALUES = 8;

function showDimensions(counted) {
  const dimensions = Object.entries(counted.values);
  list(at("dimensions"), dimensions, ([name]) => name, ([name]) => make("section", {}, make("h3", {}, dimensionName(name)), make("ul"), make("p", { class: "soft" })), (section, [name, values]) => {
    const [, entries, rest] = section.children;
    const highest = values[0]?.[1] ?? 0;
    list(entries, values.slice(0, VALUES), ([value]) => value, ([value]) => make("li", { "data-testid": `value-${name}-${value}`, title: value }, make("span", {}, valueName(name, value, stateNames)), meter(), make("span", { class: "n" }), make("span", { class: "n" })), (item, [, n]) => {
      attribute(item, "data-value", n);
      property(item.children[1].firstElementChild, "--share", highest ? n / highest : 0);
      text(item.children[2], count(n));
      text(item.children[3], share(n, counted.count));
    });
    const others = Math.max(0, values.length - VALUES) + (counted.more?.[name] ?? 0);
    text(rest, others > 0 ? `and ${count(others)} more` : "");
    hide(rest, others === 0);
  });
}

const meter = () => make("span", { class: "meter", "aria-hidden": "true" }, make("i"));

/** What an alert is about: it fires once for each. */
const alertKey = ({ name, window: size, start, dimension, value }) => [name, size, start, dimension, value].join("/");

function showAlerts(view) {
  const { alerts, topics } = view;
  emptyState("alerts", alerts.length ? null : topics.aggregates ? "None. What the rules of this pipeline call unusual would be here, newest first: which value, how many, in which window." : "None: without aggregation there is nothing to compare.");
  list(at("alerts"), shortened("alerts", alerts), alertKey, (alert) => make("li", { "data-testid": "alert", "data-value": alertKey(alert) }, make("strong"), make("span", { class: "soft" }, timeElement(alert.seen / 1000)), make("span", { class: "soft name" }, alert.name)), (item, alert) => {
    text(item.firstElementChild, alertSentence(alert, stateNames));
    setTime(item.children[1].firstElementChild, Math.floor(alert.seen / 1000));
    attribute(item.firstElementChild, "title", alert.start ? `Window from ${utc(alert.start)}` : null);
  });
}

function showDeadLetters(view) {
  const counts = view.totals.dead_letters;
  const samples = new Map(view.dead_letters.map((one) => [one.reason, one.sample]));
  const reasons = Object.keys(counts);
  const dead = sum(Object.values(counts));
  const highest = Math.max(1, ...Object.values(counts));
  emptyState("dead", dead > 0 ? null : "None: every login so far was valid. One that is not would be here, with what is wrong with it.");
  const chosen = reasons.includes(choices.reason) ? choices.reason : reasons.reduce((top, reason) => (counts[reason] > counts[top] ? reason : top), reasons[0]);
  list(at("reasons"), reasons, (reason) => reason, (reason) => {
    const button = make("button", { type: "button", "data-testid": `choose-reason-${reason}`, title: REASONS[reason]?.[0] ?? "" }, make("span", {}, reason.replaceAll("-", " ")), meter(), make("span", { class: "n", "data-testid": `total-dead-letters-${reason}` }));
    button.addEventListener("click", () => choose({ reason }));
    return button;
  }, (button, reason) => {
    attribute(button, "aria-pressed", reason === chosen);
    property(button.children[1].firstElementChild, "--share", counts[reason] / highest);
    number(button.lastElementChild, counts[reason], count(counts[reason]));
  });
  hide(document.querySelector('[data-section="letter"]'), dead === 0 && !choices.reason);
  showLetter(chosen, samples.get(chosen) ?? null);
}

function showLetter(reason, sample) {
  const [means, remedy] = REASONS[reason] ?? ["", ""];
  text(at("dead-letter-means"), means);
  text(at("dead-letter-do"), remedy);
  text(at("dead-letter-place"), sample ? `The last one: partition ${sample.partition}, offset ${count(sample.offset)}, at ${clock(Math.floor(sample.seen / 1000))}. Personal data is masked.` : "None of this reason was seen here.");
  text(at("dead-letter-detail"), sample?.detail ?? "");
  hide(at("dead-letter-detail"), !sample);
  text(at("dead-letter-sample"), sample ? (sample.value ?? "no value (a tombstone)") : "");
  hide(at("dead-letter-sample"), !sample);
  text(at("dead-letter-command"), `processor dead-letters list --config job.json --reason ${reason}`);
}

function showWindows(view) {
  const { sizes, size, counted } = chosenWindow(view);
  const finite = sizes.filter((one) => one !== "all");
  const listedSizes = size === "all" ? finite : [size];
  const rows = view.windows.filter((one) => listedSizes.includes(one.window) && (choices.windows === "any" || one.closed === (choices.windows === "closed")));
  rows.sort((a, b) => b.end - a.end || sizeOrder(a.window) - sizeOrder(b.window));
  emptyState("windows", rows.length ? null : view.windows.length ? "No window of this kind at the moment." : view.topics.aggregates ? "A window is a stretch of time, such as a minute. The first one is here as soon as a login is counted." : "Without aggregation there are no windows.");
  list(at("windows"), shortened("windows", rows), ({ window: one, start }) => `${one}/${start}`, windowRow, (row, one) => {
    const [name, state, logins, users, late, frequent] = row.children;
    const { tag, level } = windowState(one);
    text(name.firstElementChild, windowName(one));
    text(state.firstElementChild, tag);
    attribute(state.firstElementChild, "class", `tag ${level}`);
    hide(state.lastElementChild, !one.partial);
    number(logins, one.count, count(one.count));
    number(users, one.unique_users, count(one.unique_users));
    number(late, one.late, count(one.late));
    text(frequent, topValues(one));
    row.classList.toggle("chosen", counted === one);
  });
}

function windowRow(one) {
  const button = make("button", { type: "button", title: `Show this window, with its insight and on the map: ${utc(one.start)} to ${utc(one.end)}` });
  button.addEventListener("click", () => {
    choose({ window: one.window, start: String(one.start) });
    const { counted } = chosenWindow(view);
    document.getElementById(counted.insight ? "insight-title" : "counts-title").scrollIntoView({ block: "start" });
    text(at("announcement"), `${windowName(counted)}: ${counted.insight ? insightSentence(counted.insight) : logins(counted.count)}`);
  });
  return make("tr", { "data-testid": "window-row", "data-value": `${one.window}/${one.start}` }, make("th", { scope: "row" }, button), make("td", {}, make("span"), make("span", { class: "tag", title: "The rules changed in its midst" }, "partial")), make("td", { class: "n" }), make("td", { class: "n wide" }), make("td", { class: "n wide" }), make("td", { class: "wide soft" }));
}

const topValues = (one) => Object.entries(one.values).filter(([, values]) => values.length).map(([dimension, [[value, n]]]) => `${valueName(dimension, value, stateNames)} ${share(n, one.count)}`).join(" · ");

function showPartitions(view) {
  const names = [...new Set(view.partitions.map(({ replica }) => replica).filter(Boolean))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  hide(document.querySelector('[data-section="choose-replica"]'), names.length < 2);
  list(at("choose-replica"), ["", ...names], (name) => name, (name) => make("option", { value: name }, name || "All replicas"), () => {});
  const replica = names.includes(choices.replica) ? choices.replica : "";
  if (at("choose-replica").value !== replica) at("choose-replica").value = replica;
  const partitions = view.partitions.filter((one) => !replica || one.replica === replica);
  number(at("frontier"), view.frontier, `Frontier: ${clock(view.frontier)}.`);
  number(at("latest"), view.latest, ` No login so far is after ${clock(view.latest)}.`);
  const last = lastPartition(view.partitions);
  text(at("partitions-sentence"), partitionsSentence(view, last));
  attribute(at("partitions-sentence"), "title", known(view.frontier) ? `The frontier is at ${utc(view.frontier)}. No login so far is after ${utc(view.latest)}.` : null);
  emptyState("partitions", partitions.length ? null : "How far each partition has come, and which one the others wait for, is here as soon as a replica has partitions.");
  const first = firstWatermark(view.partitions);
  showCells(partitions, first);
  const shown = partitions.length <= HIGHEST_ROWS ? partitions : [...partitions].sort(furthest).slice(0, 12);
  showTrack(shown, view.frontier, first, last);
  const others = partitions.length - shown.length;
  text(at("partitions-more"), others > 0 ? `The ${count(shown.length)} furthest behind; ${count(others)} others are not listed. Choose a replica to see fewer.` : "");
}

/** Those that the windows wait for come first; the idle ones, for which nothing waits, last. */
const furthest = (a, b) => Number(a.idle) - Number(b.idle) || (a.watermark ?? Infinity) - (b.watermark ?? Infinity) || a.partition - b.partition;

function partitionsSentence({ partitions, frontier }, last) {
  if (partitions.length === 0) return "";
  const idle = partitions.filter((one) => one.idle).length;
  const words = [];
  if (known(frontier)) words.push(`Windows are closed up to ${clock(frontier)}, the frontier.`);
  if (last) words.push(isHolding(last, partitions) ? `Partition ${last.partition} holds it back.` : "No partition holds it back.");
  if (idle) words.push(`${count(idle)} ${idle === 1 ? "partition is" : "partitions are"} idle: nothing comes, and nothing waits for them.`);
  return words.join(" ");
}

/** Whether the last partition is far behind the middle one of those that are read. */
function isHolding(last, partitions) {
  const marks = partitions.filter(({ watermark, idle }) => known(watermark) && !idle).map(({ watermark }) => watermark).sort((a, b) => a - b);
  return marks.length > 1 && marks[Math.floor(marks.length / 2)] - last.watermark >= HOLDING;
}

/** Many partitions as cells, each the furthest behind of several. The table below holds the same for screen readers. */
function showCells(partitions, first) {
  const cells = at("cells");
  hide(cells, partitions.length <= HIGHEST_ROWS);
  const size = Math.ceil(partitions.length / CELLS);
  const groups = partitions.length <= HIGHEST_ROWS ? [] : Array.from({ length: Math.ceil(partitions.length / size) }, (_, i) => partitions.slice(i * size, (i + 1) * size));
  list(cells, groups, ([first]) => first.partition, () => make("i"), (cell, group) => {
    const worst = [...group].sort(furthest)[0];
    const behind = known(worst.watermark) ? first - worst.watermark : null;
    const level = worst.idle || behind === null ? "idle" : `b${[5, 20, HOLDING].filter((bound) => behind > bound).length + 1}`;
    attribute(cell, "class", level);
    attribute(cell, "title", `${group.length === 1 ? `Partition ${worst.partition}` : `Partitions ${group[0].partition} to ${group.at(-1).partition}, furthest ${worst.partition}`}: ${worst.idle ? "idle" : `${took(behind)} behind the first partition`}`);
  });
}

function showTrack(partitions, frontier, first, last) {
  const marks = partitions.filter(({ idle }) => !idle).map(({ watermark }) => watermark).filter(known);
  const to = Math.max(first, frontier ?? -Infinity);
  const from = Math.min(...marks, frontier ?? Infinity, to - 10);
  const place = (time) => (known(time) && to > from ? Math.min(1, Math.max(0, (time - from) / (to - from))) : 0);
  text(at("track-from"), Number.isFinite(from) ? clock(from) : "");
  text(at("track-to"), Number.isFinite(to) ? clock(to) : "");
  const holding = last && isHolding(last, partitions);
  list(at("partition-rows"), partitions, ({ partition }) => partition, partitionRow, (row, one) => {
    const [, replica, track, behind, lag] = row.children;
    const [line, dot, words] = track.firstElementChild.children;
    const isLast = holding && one.partition === last.partition;
    attribute(row, "data-value", known(one.watermark) ? one.watermark : "");
    text(replica, one.replica ?? UNKNOWN);
    hide(line, !known(frontier));
    property(line, "--at", place(frontier));
    hide(dot, !known(one.watermark));
    property(dot, "--at", place(one.watermark));
    attribute(dot, "class", one.idle ? "idle" : isLast ? "last" : null);
    attribute(track, "title", known(one.watermark) ? `Watermark ${utc(one.watermark)}: no login before it is expected. The line is the frontier.` : "No valid login seen yet");
    text(words, known(one.watermark) ? `Watermark ${clock(one.watermark)}` : "No watermark yet");
    text(behind.firstElementChild, known(one.watermark) ? took(first - one.watermark) : UNKNOWN);
    const tag = one.idle ? "idle" : isLast ? "holds back" : "";
    text(behind.lastElementChild, tag);
    attribute(behind.lastElementChild, "class", tag ? (isLast ? "tag warn" : "tag") : "");
    number(lag, one.lag, count(one.lag));
  });
}

function partitionRow({ partition }) {
  return make("tr", { "data-testid": `partition-${partition}` }, make("th", { scope: "row" }, String(partition)), make("td", { class: "wide" }), make("td", {}, make("div", { class: "track" }, make("i", { class: "frontier" }), make("i"), make("span", { class: "sr" }))), make("td", { class: "n" }, make("span"), " ", make("span")), make("td", { class: "n" }));
}

const ROLES = { emitter: "writes results", standby: "stands by", restoring: "catches up" };

function showReplicas({ replicas }) {
  emptyState("replicas", replicas.length ? null : "No replica tells about itself at the moment.");
  const ailing = (replica) => Number(replica.state !== "running" || notReady(replica) !== null);
  const sorted = [...replicas].sort((a, b) => ailing(b) - ailing(a) || a.name.localeCompare(b.name, "en", { numeric: true }));
  list(at("replicas"), shortened("replicas", sorted), ({ name }) => name, replicaRow, (row, replica) => {
    const [name, state, role, threads, uptime] = row.children;
    const why = notReady(replica);
    attribute(name.firstElementChild, "href", address(replica.page));
    const level = replica.state === "gone" || replica.state === "paused" ? "bad" : replica.state !== "running" || why ? "warn" : "good";
    text(state.firstElementChild, replica.state === "running" && why ? "not ready" : replica.state);
    attribute(state.firstElementChild, "class", `tag ${level}`);
    text(state.lastElementChild, why ?? "");
    text(role, ROLES[replica.role] ?? UNKNOWN);
    attribute(role, "title", replica.role);
    text(threads, `${count(replica.threads.length)} · ${count(sum(replica.threads.map(({ partitions }) => partitions.length)))}`);
    attribute(threads, "title", replica.threads.slice(0, 16).map((thread) => `${thread.name}: ${thread.partitions.slice(0, 24).join(", ") || "none"}`).join("\n"));
    text(uptime, took(replica.uptime_seconds));
  });
}

const replicaRow = ({ name }) => make("tr", { "data-testid": "replica", "data-value": name }, make("th", { scope: "row" }, make("a", {}, name)), make("td", {}, make("span"), make("div", { class: "soft" })), make("td"), make("td", { class: "n" }), make("td", { class: "n wide" }));

/** The address of another page, if it is one that a browser may open. */
function address(page) {
  if (!page) return null;
  try {
    const url = new URL(page, location.href);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function showDelivery({ totals, latency, windows_kept: kept }) {
  for (const name of ["transactions", "aborted", "rebalances", "emissions", "emissions_aborted", "revisions", "late", "unmerged"]) number(at(`total-${name.replaceAll("_", "-")}`), totals[name], count(totals[name]));
  number(at("windows-kept"), kept, count(kept));
  for (const [name, { p50, p99 }] of Object.entries({ commit: latency.commit, emission: latency.emission })) {
    number(at(`latency-${name}-p50`), p50, took(p50));
    number(at(`latency-${name}-p99`), p99, took(p99));
  }
}
