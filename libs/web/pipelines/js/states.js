// @ts-check
// States of a pipeline, from the worst to the best: the order of the list. Each with its words, and how good it is.

const STATES = [["stalled", "Stalled", "bad"], ["degraded", "Degraded", "warn"], ["not-ready", "Not ready", "warn"], ["paused", "Paused", ""], ["ready", "Ready", "good"]];
const RANK = new Map(STATES.map(([name], i) => [name, i]));
const NAMES = new Map(STATES.map(([name, words]) => [name, words]));
const LEVELS = new Map(STATES.map(([name, , level]) => [name, level]));
