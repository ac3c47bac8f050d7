// @ts-check
// One pipeline, opened: what its row says, and what is asked for it alone.

function showOpened() {
  const row = rows.get(choices.open);
  const [namespace, name] = choices.open.split("/");
  const all = opened && keyOf(opened) === choices.open ? opened : null;
  attribute(at("back"), "href", addressOf({ ...choices, open: "" }));
  text(at("opened-title"), name ?? "");
  attribute(at("opened-state"), "class", `tag ${row ? LEVELS.get(row.state) : ""}`);
  text(at("opened-state"), row ? NAMES.get(row.state) : "Gone");
  const stale = row && !row.is_current ? " The spec was changed since; the operator has not reported on it yet." : "";
  text(at("opened-message"), row ? `${row.reason || "New"}: ${row.message}${stale}` : `There is no LoginPipeline ${namespace}/${name}, or not any more.`);
  at("opened-problem").hidden = !openedProblem;
  text(at("opened-problem"), openedProblem);
  for (const section of [...at("opened").children].slice(1)) section.hidden = !row || !all;
  if (row && all) showAll(row, all);
}

function showAll(row, all) {
  const facts = [["Namespace", row.namespace], ["Kafka", row.kafka ?? "–"], ["Replicas ready", `${count(row.replicas.ready)} of ${count(row.replicas.wanted)}`], ["Behind", count(row.lag)], ["Rate", row.rate === null ? "–" : `${count(row.rate)}/s`], ["Config revision", all.config ? String(all.config.revision) : "–"], ["Image", all.config?.image ?? "–"]];
  if (all.last_healthy && all.last_healthy.revision !== all.config?.revision) facts.push(["Healthy last", `revision ${all.last_healthy.revision}`]);
  list(at("facts"), facts, ([name]) => name, ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  list(at("conditions"), all.conditions, ({ type }) => type, (one) => make("tr", { "data-testid": "condition" },
    make("th", { scope: "row" }, one.type), make("td", {}, tag(one.status, levelOf(one))),
    make("td", {}, make("b", {}, one.reason), make("span", { class: "message soft" }, ` ${one.message}`)), make("td", { class: "n narrow" }, ago(one.since))));
  list(at("topics"), all.topics, ({ role }) => role, (topic) => make("tr", { "data-testid": "topic" },
    make("th", { scope: "row", title: topic.topic_id ? `Kafka's id: ${topic.topic_id}` : null }, topic.name), make("td", {}, topic.role), make("td", { class: "n" }, count(topic.partitions)), make("td", {}, topic.is_created ? "this pipeline" : "others")));
  text(at("no-pods"), all.pods.problem ?? (all.pods.found.length ? "" : "There are no pods."));
  at("pods-table").hidden = all.pods.found.length === 0;
  list(at("pods"), all.pods.found, ({ name }) => name, (pod) => replica(row, pod));
  text(at("no-events"), all.events.problem ?? (all.events.found.length ? "" : "None in the last hour: Kubernetes forgets Events after that."));
  list(at("events"), all.events.found, ({ reason, first, note }) => `${first} ${reason} ${note}`, (event) => make("li", { "data-testid": "event" },
    make("span", {}, tag(event.reason, event.type === "Warning" ? "warn" : ""), event.count > 1 ? ` ${count(event.count)} times` : ""), make("span", { class: "soft" }, ago(event.last), " ago"), make("p", { class: "note" }, event.note)));
}

/** Of most conditions True is well; of those that speak of trouble, False. */
function levelOf({ type, status }) {
  const isTrouble = ["Stalled", "Degraded"].includes(type);
  if (["Reconciling", "Paused"].includes(type)) return status === "True" ? "warn" : "";
  if (status === "Unknown") return "warn";
  return (status === "True") !== isTrouble ? "good" : isTrouble ? "bad" : "warn";
}

function replica(row, pod) {
  const [words, level] = pod.is_going ? ["Going", ""] : pod.is_ready ? ["Ready", "good"] : [pod.phase === "Running" ? "Not ready" : pod.phase || "New", "warn"];
  const place = `pods/${encodeURIComponent(row.namespace)}/${encodeURIComponent(pod.name)}/`;
  return make("tr", { "data-testid": "pod" },
    make("th", { scope: "row" }, pod.has_page ? make("a", { href: place, title: "What it processes, live" }, pod.name) : pod.name),
    make("td", {}, tag(words, level), make("span", { class: "soft message" }, pod.trouble ? ` ${pod.trouble}` : "")), make("td", { class: "n" }, count(pod.restarts)),
    make("td", { class: "wide", title: pod.config_map }, pod.is_current ? "in use" : "of before"), make("td", { class: "wide" }, pod.node ?? "–"), make("td", { class: "n narrow" }, ago(pod.created)));
}

/** Asks for everything of the opened pipeline, when it is time: only while somebody looks. */
async function ask() {
  if (isAsking || !isListed || document.hidden || !rows.has(choices.open) || performance.now() - openedAsked < ANEW) return;
  isAsking = true;
  openedAsked = performance.now();
  const [namespace, name] = choices.open.split("/");
  try {
    const answer = await fetch(`pipelines/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`);
    if (answer.ok) opened = await answer.json();
    openedProblem = answer.ok ? "" : await answer.text();
  } catch {
    openedProblem = "The operator does not answer.";
  }
  isAsking = false;
  show(false);
}
