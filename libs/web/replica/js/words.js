// @ts-check
// Words: how numbers, times and what happened are said. Pure functions of what they are given, in the reader's language of
// numbers and time zone.

const UNKNOWN = "–";
const integers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const decimals = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const shorts = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const shares = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const instants = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit", second: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });

/** Whether it is a number at all: JSON has null where nothing is known. */
const known = (value) => typeof value === "number" && Number.isFinite(value);
const count = (value) => (known(value) ? integers.format(value) : UNKNOWN);
const logins = (value) => `${count(value)} ${value === 1 ? "login" : "logins"}`;
const short = (value) => (known(value) ? shorts.format(value) : UNKNOWN);
function share(part, whole) {
  if (!known(part) || !(whole > 0)) return UNKNOWN;
  return part > 0 && part / whole < 0.001 ? `< ${shares.format(0.001)}` : shares.format(part / whole);
}

/** A number a second: with a decimal only where it is small. */
function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 10 ? decimals.format(value) : integers.format(value);
}

/** A length of time, from seconds. */
function took(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds <= 0) return "0 s";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 1) return `${seconds < 0.01 ? decimals.format(seconds * 1000) : integers.format(seconds * 1000)} ms`;
  if (seconds < 10) return `${decimals.format(seconds)} s`;
  const rounded = Math.round(seconds);
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => rounded >= Number(size));
  return units
    .slice(first, first + 2)
    .map(([unit, size], i) => [Math.floor((i ? rounded % Number(units[first][1]) : rounded) / Number(size)), unit])
    .filter(([n]) => n)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(" ");
}

/** A time of day, from Unix seconds; with the day where that is not today's, with seconds unless it is a whole minute. */
function clock(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const date = new Date(seconds * 1000);
  const time = (seconds % 60 === 0 ? minutes : instants).format(date);
  return date.toDateString() === new Date().toDateString() ? time : `${days.format(date)}, ${time}`;
}

/** The same in UTC, for titles. */
function utc(seconds) {
  if (!known(seconds)) return "";
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "" : `${date.toISOString().replace("T", " ").replace(/\.?0*Z$/, "")} UTC`;
}

/** The size of a window: 1m, 15m, 1h, all. */
function sizeName(size) {
  if (size === "all") return "All time";
  const [, number, unit] = /^(\d+)([a-z]+)$/.exec(size) ?? [];
  return number ? `${number} ${{ s: "s", m: "min", h: "h", d: "d" }[unit] ?? unit}` : size;
}

/** Sizes in ascending order, `all` last. */
function sizeOrder(size) {
  const [, number, unit] = /^(\d+)([a-z]+)$/.exec(size) ?? [];
  return number ? Number(number) * ({ s: 1, m: 60, h: 3600, d: 86400 }[unit] ?? 1) : Infinity;
}

/** From when to when a window is; with the day where one of both is not today's. */
function windowName({ start, end }) {
  if (!known(end)) return "All time";
  const isToday = [start, end].every((time) => new Date(time * 1000).toDateString() === new Date().toDateString());
  const format = !isToday ? dated : start % 60 || end % 60 ? instants : minutes;
  return format.formatRange(start * 1000, end * 1000);
}

/** The most characters of a value that are shown as they are: an app version of hundreds is no name. */
const LONG = 48;

/** What a value is called: the aggregation's own names begin with an underscore, and states have longer ones. */
function valueName(dimension, value, states) {
  if (value === "_missing") return "not given";
  if (value === "_other") return "all others";
  if (value.length > LONG) return `${value.slice(0, 10)}… (${count(value.length)} characters)`;
  return (dimension === "locale" && states.get(value)) || value;
}

const DIMENSIONS = { device_type: "Device", locale: "State", app_version: "App version" };
const dimensionName = (dimension) => DIMENSIONS[dimension] ?? dimension;

/** What an alert says, as a sentence. */
function alertSentence(alert, states) {
  const who = alert.value === null ? "" : `${dimensionName(alert.dimension)} ${valueName(alert.dimension, alert.value, states)}: `;
  const size = sizeOrder(alert.window);
  const when = Number.isFinite(size) ? `between ${clock(alert.start)} and ${clock(alert.start + size)}` : "since the beginning";
  return `${who}${logins(alert.count)} ${when}, ${alertBound(alert)}.`;
}

function alertBound({ above, count: n, deviation, mean }) {
  if (known(above)) return above === 0 ? "where none should be" : `more than ${count(above)}`;
  if (known(mean)) return `far ${n > mean ? "more" : "fewer"} than the usual ${count(mean)}${known(deviation) ? ` (beyond ${decimals.format(deviation)} standard deviations)` : ""}`;
  return "unlike the windows before";
}

/** What a reason of dead letters means, and what to do about it. */
const REASONS = {
  malformed: ["It is not one whole JSON object: cut off, not UTF-8, a key twice, nested too deep, or empty.", "Look at the program that writes it. Replayed as it is, it would be a dead letter again."],
  "missing-field": ["A field that every login must have is absent or null.", "Have the program send it, or take the field out of validation.required; then replay."],
  "invalid-field": ["A field has the wrong type, is empty, is too long, or has control characters.", "Have the program that sends it mend it, or relax the rule if that is too strict; then replay."],
  future: ["Its time is further ahead than the rules allow: a wrong clock, or milliseconds in place of seconds.", "Mend the clock or the unit. One that was only early can be replayed."],
  "too-large": ["With what is added to it, it would not fit into the output topic.", "Raise max.message.bytes of the output topic, then replay."],
};

/** What an insight says of its window, as a sentence. */
function insightSentence({ count: n, unique_users: users, previous, change }) {
  const who = known(users) ? ` by about ${count(users)} ${users === 1 ? "user" : "users"}` : "";
  return `${logins(n)}${who}${changeWords(previous, change)}.`;
}

function changeWords(previous, change) {
  if (previous === 0) return ", and none in the window before";
  if (!known(change)) return "";
  if (change === 0) return ", as many as in the window before";
  if (change >= 1) return `, ${decimals.format(change + 1)} times as many as in the window before`;
  return `, ${share(Math.abs(change), 1)} ${change > 0 ? "more" : "fewer"} than in the window before`;
}

/** Of how many values an insight names the most and the least frequent. */
const amongWords = ({ values, truncated }) => (truncated ? `among more than ${count(values)} values` : values === 1 ? "the only value" : `among ${count(values)} values`);

/**
 * How the pipeline is, in a word for programs, two for people, and a sentence where somebody should look.
 * `connection` is connecting, live or lost; `held` whether the reader paused the page; `stuck` for how many seconds nothing
 * was processed that waited.
 */
function healthOf(view, connection, held, stuck) {
  if (connection === "lost") return { state: "lost", words: "Connection lost", banner: "The connection to the pipeline is lost. The numbers below are the last ones that came; the page tries again by itself.", level: "bad" };
  if (!view) return { state: "connecting", words: "Connecting" };
  const trouble = faultOf(view) ?? troubleOf(view.replicas) ?? standstill(view, stuck);
  if (held) return { ...trouble, state: "held", words: "Page paused" };
  return trouble ?? { state: "live", words: "Healthy" };
}

/** What of the audit beside the pipeline is no fault. */
const NO_FAULTS = { sent: true, audited: true };
const faultsOf = (audit) => Object.entries(audit ?? {}).filter(([name, n]) => !(name in NO_FAULTS) && n > 0);

function faultOf({ audit }) {
  const faults = faultsOf(audit);
  if (faults.length === 0) return null;
  const found = faults.map(([name, n]) => `${count(n)} ${{ lost: "lost", duplicated: "doubled", other: "otherwise wrong" }[name] ?? name}`).join(", ");
  return { state: "faulty", words: "Audit failed", banner: `What the pipeline wrote is not what was sent: ${found}.`, level: "bad" };
}

/** So many seconds without progress are no pause between two commits any more. */
const STUCK = 15;

function standstill({ lag }, stuck) {
  if (stuck < STUCK) return null;
  return { state: "stuck", words: "Standing still", banner: `For ${took(stuck)} nothing was processed, and ${logins(lag)} wait. Is Kafka there? The log of the replicas says what they wait for.`, level: "bad" };
}

function troubleOf(replicas) {
  const total = replicas.length;
  const running = replicas.filter(({ state }) => state === "running").length;
  const sick = replicas.filter((replica) => replica.state !== "running" || notReady(replica));
  if (total === 0) return { state: "stopped", words: "No replica", banner: "No replica of this pipeline is running.", level: "bad" };
  if (sick.length === 0) return null;
  const banner = sick.slice(0, 3).map(replicaTrouble).join(" ") + (sick.length > 3 ? ` And ${count(sick.length - 3)} more.` : "");
  if (running === 0) {
    const state = ["paused", "stopping"].find((name) => replicas.every((replica) => replica.state === name)) ?? "stopped";
    return { state, words: { paused: "Paused", stopping: "Stopping", stopped: "Stopped" }[state], banner, level: "bad" };
  }
  return { state: "unready", words: `${count(total - sick.length)} of ${count(total)} ${total === 1 ? "replica" : "replicas"} ready`, banner, level: "warn" };
}

/** Why a replica is not ready: its own reason, else its threads'. */
function notReady({ not_ready: own, threads }) {
  if (own) return own;
  const thread = threads.find((one) => one.not_ready);
  return thread ? `${thread.name}: ${thread.not_ready}` : null;
}

function replicaTrouble(replica) {
  const words = { paused: "is paused", stopping: "is stopping", gone: "is gone" }[replica.state];
  return words ? `${replica.name} ${words}.` : `${replica.name} is not ready: ${notReady(replica)}.`;
}

/** What goes on, in one sentence. */
function sentenceOf({ rates, totals, lag }) {
  const dead = Object.values(totals.dead_letters).reduce((sum, n) => sum + n, 0);
  const now = rates.processed + rates.dead_letters;
  if (now === 0 && totals.processed + dead === 0) return "No login yet. The first ones will show here at once.";
  const valid = now > 0 ? share(rates.processed, now) : share(totals.processed, totals.processed + dead);
  return `${rate(now)} logins a second · ${valid} valid · ${known(lag) ? `${count(lag)} behind` : "how far behind is not known yet"}`;
}

/** Where the six colours of the map end, as shares of the highest: steps that differ for small states too. */
const MAP_ENDS = [0.02, 0.05, 0.1, 0.25, 0.5, 1];

/** Which of seven colours a count has, 0 for none. `top` is where the last one ends. */
const mapClass = (value, top) => (value > 0 ? MAP_ENDS.findIndex((end) => value <= end * top) + 1 || MAP_ENDS.length : 0);

/** The next of 1, 2 and 5 times a power of ten, at or above a number: ends of scales that seldom change. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

/** Of the partitions that are read, the one whose watermark is last: it says up to where windows can close. */
function lastPartition(partitions) {
  const moving = partitions.filter(({ watermark, idle }) => known(watermark) && !idle);
  return moving.reduce((last, one) => (last === null || one.watermark < last.watermark ? one : last), null);
}

/** The watermark that is furthest: what the others are behind of. */
const firstWatermark = (partitions) => partitions.reduce((first, { watermark }) => (known(watermark) ? Math.max(first, watermark) : first), -Infinity);
