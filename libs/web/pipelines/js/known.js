// @ts-check
// What is known of the pipelines, and what is told of its changes.

/** How often what is asked of the API server for the opened pipeline is asked anew, in milliseconds. */
const ANEW = 5000;

const rows = new Map();
let head = null;
let skew = 0;
let isListed = false;
let connection = "waiting";
let opened = null;
let openedProblem = "";
let openedAsked = -ANEW;
let isAsking = false;
let lastOpened = "";

function take(data, isWhole) {
  const before = new Map(rows);
  if (isWhole) {
    rows.clear();
    for (const row of data.pipelines) rows.set(keyOf(row), row);
  } else {
    for (const row of data.changed) rows.set(keyOf(row), row);
    for (const [namespace, name] of data.gone) rows.delete(`${namespace}/${name}`);
  }
  const wasListed = isListed;
  head = data;
  skew = data.time - Date.now();
  isListed = data.state === "leads";
  connection = "live";
  if (wasListed) tell(before);
  const row = rows.get(choices.open);
  if (row && row.resource_version !== opened?.resource_version) openedAsked = -ANEW;
  show(false);
  ask();
}

/** Tells screen readers what has become worse or well. */
function tell(before) {
  const news = [];
  for (const [key, row] of rows) {
    const old = before.get(key);
    if (old && old.state !== row.state) news.push(`${row.name} in ${row.namespace} is ${NAMES.get(row.state)}${row.state === "ready" ? "" : `: ${row.reason}`}`);
  }
  if (news.length) text(at("announcement"), news.length > 3 ? `${news.length} pipelines have changed their state` : news.join(". "));
}
