// @ts-check
// The insight that is read: what the record of a closed window says.

/** Of the chosen window, else of the latest closed one of its size, else of the smallest size; null where none is closed. */
function chosenInsight(view) {
  const { counted, ofSize } = chosenWindow(view);
  return [counted, ...ofSize, ...view.windows].find((one) => one?.insight) ?? null;
}

function showInsight(view) {
  const shown = chosenInsight(view);
  emptyState("insight", shown ? null : view.topics.insights ? "When a window closes, this says what is worth knowing of it: how many logins of how many users, what was most and least frequent, and how that differs from the window before." : "None: without aggregation there is nothing to know of a window.");
  if (!shown) return;
  const { insight } = shown;
  const latest = view.windows.find((one) => one.window === shown.window && one.insight);
  text(document.getElementById("insight-title"), shown === latest ? "Latest insight" : "Insight");
  text(at("insight-window"), `${windowName(shown)}, ${insight.revision ? `revised ${insight.revision === 1 ? "once" : `${count(insight.revision)} times`} by late logins` : "closed"}${insight.partial ? ", partial" : ""}`);
  attribute(at("insight-window"), "title", `${utc(shown.start)} to ${utc(shown.end)}`);
  text(at("insight-sentence"), insightSentence(insight));
  list(at("insight-findings"), Object.entries(insight.dimensions), ([dimension]) => dimension, finding, showFinding);
  const key = `${insight.window}/${insight.start}`;
  text(at("insight-record"), `Topic ${view.topics.insights} has this as record ${key}: one for each closed window, and again whenever it changes.`);
  attribute(at("insight-record"), "data-value", key);
}

function finding([dimension]) {
  const rank = (name, words) => make("div", { class: name, "data-testid": `insight-${dimension}-${name}` }, make("dt", {}, words), make("dd"), make("dd"));
  return make("section", {}, make("h3", {}, dimensionName(dimension)), make("dl", {}, rank("most", "Most"), rank("least", "Least")), make("p", { class: "soft" }));
}

function showFinding(section, [dimension, found]) {
  const ranks = section.querySelector("dl").children;
  for (const [i, frequency] of [found.most, found.least].entries()) {
    const [, value, part] = ranks[i].children;
    text(value, valueName(dimension, frequency.value, stateNames));
    text(part, share(frequency.share, 1));
    attribute(ranks[i], "data-value", frequency.count);
    attribute(value, "title", `${frequency.value}: ${logins(frequency.count)}`);
  }
  hide(ranks[1], found.values === 1);
  text(section.lastElementChild, amongWords(found));
}
