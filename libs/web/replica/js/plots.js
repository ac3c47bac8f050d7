// @ts-check
// The plots of the last hour: rates, times and lag, a point a second, drawn by uPlot.

const KEPT = 3600;
const COLUMNS = ["time", "processed", "dead_letters", "lag", "commit_p50", "commit_p99", "emission_p99", "transactions", "aborted", "rebalances"];
/** A gap longer than this, in milliseconds, is drawn as one. */
const GAP = 5000;
/** The least that a plot spans, in milliseconds, where the past is shorter still. */
const NARROWEST = 30000;
/** About as many different points as a plot can show. */
const PIXELS = 300;

let past = emptyPast();
let plots = [];
let drawn = { span: "", to: 0 };

const PLOTS = [
  {
    name: "plot-throughput", words: rate, axis: short, least: 10, cut: true,
    lines: [["processed", "processed", "--processed", true], ["dead_letters", "dead letters", "--dead", false]],
    caption: ({ processed }) => `On average ${rate(mean(processed))} processed a second, at most ${rate(most(processed))}${ceiling(processed) < most(processed) ? ", beyond the top" : ""}.`,
  },
  {
    name: "plot-latency", words: took, axis: took, least: 0.01,
    lines: [["commit_p50", "half of commits", "--half", false], ["commit_p99", "99 % of commits", "--most", false], ["emission_p99", "99 % of emissions", "--counted", false]],
    caption: ({ commit_p50: half, commit_p99: nearly }) => most(nearly) === null ? "Nothing was committed in this time." : `Half of the commits within ${took(mean(half))} on average, 99 % within ${took(most(nearly))} in the worst second.`,
  },
  {
    name: "plot-lag", words: count, axis: short, least: 10,
    lines: [["lag", "behind", "--processed", true]],
    caption: ({ lag, ...past }) => `At most ${count(most(lag))} behind. ${rebalanceWords(happened(past, "rebalances"))}`,
  },
  {
    name: "plot-transactions", words: rate, axis: short, least: 10,
    lines: [["transactions", "committed", "--half", true], ["aborted", "aborted", "--bad", false]],
    caption: ({ transactions, ...past }) => `On average ${rate(mean(transactions))} committed a second. ${abortWords(happened(past, "aborted"))}`,
  },
];

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const most = (values) => values.reduce((top, value) => (known(value) && (top === null || value > top) ? value : top), null);
const mean = (values) => {
  const there = values.filter(known);
  return there.length ? sum(there) / there.length : null;
};
/** How often something happened, from how often a second: a point speaks of the time since the one before. */
function happened({ time, ...columns }, name) {
  const points = columns[name].map((often, i) => [time[i], often]).filter(([, often]) => known(often));
  return points.reduce((total, [at, often], i) => total + Math.round((often * (i ? at - points[i - 1][0] : 1000)) / 1000), 0);
}

/** Where a plot ends: at the highest value, but for a short burst, such as of old logins at the start, that would flatten the rest. */
function ceiling(values) {
  const sorted = values.filter(known).sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length * 0.9)] ?? 0;
  const top = sorted.at(-1) ?? 0;
  return usual > 0 && top > usual * 4 ? usual * 1.5 : top;
}

const rebalanceWords = (n) => (n === 0 ? "No rebalance." : n === 1 ? "One rebalance, where the dashed line is." : `${count(n)} rebalances, at the dashed lines.`);

const abortWords = (n) => (n === 0 ? "None was aborted." : n === 1 ? "One was aborted, and done again." : `${count(n)} were aborted, and done again.`);

function emptyPast() {
  return Object.fromEntries(COLUMNS.map((name) => [name, []]));
}

/** Takes the history of the server in place of what was collected here. */
function setPast(columns) {
  past = emptyPast();
  drawn = { span: "", to: 0 };
  const times = Array.isArray(columns?.time) ? columns.time : [];
  for (const name of COLUMNS) past[name] = times.map((_, i) => columns[name]?.[i] ?? null).slice(-KEPT);
}

/** Whether seconds are missing before a view: nobody looked, or the connection stood still. */
const isBehind = ({ time }) => time - (past.time.at(-1) ?? -Infinity) > GAP;

/** Adds a second; and a gap, where seconds are missing. */
function addToPast({ time, rates, lag, latency }) {
  const last = past.time.at(-1) ?? -Infinity;
  if (time - last < 500) return;
  if (isBehind({ time }) && past.time.length) push({ time: last + 1000 });
  const { commit, emission } = latency;
  push({
    time, lag, processed: rates.processed, dead_letters: rates.dead_letters,
    transactions: rates.transactions, aborted: rates.aborted, rebalances: rates.rebalances,
    commit_p50: commit.p50, commit_p99: commit.p99, emission_p99: emission.p99,
  });
}

/** For how many seconds nothing was processed although something waited all the while, as far as is known. */
function stuckFor() {
  const { time, processed, dead_letters: dead, lag } = past;
  const isMoving = (i) => lag[i] === 0 || processed[i] + dead[i] > 0;
  let first = time.length;
  while (first > 0 && !isMoving(first - 1)) first -= 1;
  return first < time.length ? (time.at(-1) - time[first]) / 1000 : 0;
}

function push(point) {
  for (const name of COLUMNS) {
    past[name].push(point[name] ?? null);
    if (past[name].length > KEPT) past[name].shift();
  }
}

/** What of the past is in the chosen span: columns, and from when to when, in seconds. */
function chosenPast() {
  const to = past.time.at(-1) ?? Date.now();
  const from = to - SPANS[choices.span] * 1000;
  const first = past.time.findIndex((time) => time >= from);
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, past[name].slice(Math.max(first, 0))]));
  const start = Math.max(from, Math.min(columns.time[0] ?? from, to - NARROWEST));
  return { columns, from: start / 1000, to: to / 1000 };
}

/** A custom property as a colour that a canvas can use. */
function colour(name) {
  const probe = make("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** The plots are made anew in the colours that hold now. */
function forgetColours() {
  for (const { chart } of plots) chart.destroy();
  plots = [];
}

/** Draws the plots once there is something to see of it: a point is a second, but a pixel of an hour is many. */
function drawPlots() {
  const last = (past.time.at(-1) ?? 0) / 1000;
  const step = past.time.length < SPANS[choices.span] ? 1 : SPANS[choices.span] / PIXELS;
  if (plots.length && drawn.span === choices.span && last >= drawn.to && last - drawn.to < step) return plots.forEach(writeLegend);
  drawn = { span: choices.span, to: last };
  const { columns, from, to } = chosenPast();
  if (plots.length === 0) plots = PLOTS.map(makePlot);
  for (const plot of plots) {
    const { definition, chart, figure } = plot;
    plot.range = [from, to];
    plot.top = Math.max(...definition.lines.map(([column]) => (definition.cut ? ceiling(columns[column]) : most(columns[column]) ?? 0)));
    plot.rebalances = columns.time.filter((_, i) => columns.rebalances[i] > 0).map((time) => time / 1000);
    chart.setData([columns.time.map((time) => time / 1000), ...definition.lines.map(([column]) => columns[column])]);
    attribute(figure, "data-value", columns.time.length);
    text(figure.querySelector("figcaption"), columns.time.length > 1 ? definition.caption(columns) : "The first seconds are still to come.");
    writeLegend(plot);
  }
}

function makePlot(definition) {
  const figure = at(definition.name);
  const box = figure.querySelector(".plot");
  const legend = figure.querySelector(".legend");
  const plot = { definition, figure, range: [0, 1], top: 1, rebalances: [], chart: null, values: [] };
  const items = definition.lines.map(([, label, hue]) => {
    const key = make("i", { class: "key" });
    key.style.background = `var(${hue})`;
    const value = make("b");
    plot.values.push(value);
    return make("li", {}, key, `${label} `, value);
  });
  plot.when = make("li", { class: "soft" });
  legend.replaceChildren(...items, plot.when);
  plot.chart = new uPlot(plotOptions(plot, box), [[], ...definition.lines.map(() => [])], box);
  return plot;
}

function plotOptions(plot, box) {
  const { definition } = plot;
  const soft = colour("--soft");
  const grid = { stroke: colour("--grid"), width: 1 };
  const axis = { stroke: soft, grid, ticks: { show: false }, font: "11px Inter, system-ui, sans-serif" };
  return {
    width: Math.max(box.clientWidth, 100), height: 170, padding: [10, 26, 0, 0], legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false, setScale: false }, sync: { key: "past" }, points: { size: 7 } },
    scales: { x: { range: () => plot.range }, y: { range: () => [0, Math.max(plot.top * 1.08, definition.least)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: (_, __, from, to) => (to - from < 600 ? 74 : 56), values: (_, splits) => splits.map((time) => (time % 60 === 0 ? minutes : instants).format(time * 1000)) },
      { ...axis, size: 58, space: 34, values: (_, splits) => splits.map((value) => definition.axis(value)) },
    ],
    series: [{}, ...definition.lines.map(([, , hue, filled]) => {
      const stroke = colour(hue);
      return { stroke, width: 1.6, fill: filled ? stroke.replace("rgb(", "rgba(").replace(")", ", 0.12)") : undefined, points: { show: false } };
    })],
    hooks: { drawAxes: [(chart) => drawRebalances(chart, plot.rebalances, soft)], setCursor: [() => writeLegend(plot)] },
  };
}

function drawRebalances(chart, times, stroke) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.setLineDash([4, 4]);
  for (const time of times) {
    const x = Math.round(chart.valToPos(time, "x", true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/** The values under the pointer, else the newest. */
function writeLegend({ chart, definition, values, when }) {
  if (!chart) return;
  const [times, ...lines] = chart.data;
  const pointed = chart.cursor.idx;
  lines.forEach((line, i) => {
    const value = known(pointed) ? line[pointed] : past[definition.lines[i][0]].at(-1);
    text(values[i], definition.words(value));
  });
  text(when, known(pointed) && known(times[pointed]) ? `at ${instants.format(times[pointed] * 1000)}` : "");
}

function fitPlots() {
  for (const { chart, figure } of plots) {
    const width = figure.querySelector(".plot").clientWidth;
    if (width > 0 && width !== chart.width) chart.setSize({ width, height: 170 });
  }
}
