// Writes states.svg, the map of the page: the 50 states of the USA and the District of Columbia in Albers' projection, as
// us-atlas (ISC) has them from the public Cartographic Boundary Files of the US Census Bureau, with fewer points. Standard output
// gets one <path> a state, in units of half a pixel of a map that is 975 wide.
import { readFileSync } from "node:fs";
import { feature } from "topojson-client";
import { presimplify, simplify } from "topojson-simplify";

/** Two letters by FIPS code. */
const LETTERS = Object.fromEntries(
  ("01AL 02AK 04AZ 05AR 06CA 08CO 09CT 10DE 11DC 12FL 13GA 15HI 16ID 17IL 18IN 19IA 20KS 21KY 22LA 23ME 24MD 25MA 26MI 27MN " +
    "28MS 29MO 30MT 31NE 32NV 33NH 34NJ 35NM 36NY 37NC 38ND 39OH 40OK 41OR 42PA 44RI 45SC 46SD 47TN 48TX 49UT 50VT 51VA 53WA " +
    "54WV 55WI 56WY")
    .split(" ")
    .map((pair) => [pair.slice(0, 2), pair.slice(2)]),
);
/** Triangles smaller than this, in square pixels of a map that is 975 wide, are taken out of the outlines. */
const DETAIL = 0.6;
/** Islands smaller than this go, unless they are all that a state has. */
const SMALLEST = 4;

const topology = JSON.parse(readFileSync(new URL("node_modules/us-atlas/states-albers-10m.json", import.meta.url), "utf8"));
const simple = simplify(presimplify(topology), DETAIL);

const area = (ring) =>
  Math.abs(ring.reduce((sum, [x, y], i) => sum + x * ring[(i + 1) % ring.length][1] - ring[(i + 1) % ring.length][0] * y, 0)) / 2;

/** A ring in relative steps, as short as SVG allows. */
function path(ring) {
  const points = ring.slice(0, -1).map(([x, y]) => [Math.round(x * 2), Math.round(y * 2)]);
  let [x, y] = points[0];
  let d = `M${x},${y}l`;
  const steps = [];
  for (const [nx, ny] of points.slice(1)) {
    if (nx === x && ny === y) continue;
    steps.push(`${nx - x},${ny - y}`);
    [x, y] = [nx, ny];
  }
  return `${d}${steps.join(" ").replaceAll(/[ ,]-/g, "-")}z`;
}

/** The centroid of a ring, for the letters. */
function middle(ring) {
  let [cx, cy, a] = [0, 0, 0];
  ring.slice(0, -1).forEach(([x, y], i) => {
    const [nx, ny] = ring[i + 1];
    const cross = x * ny - nx * y;
    cx += (x + nx) * cross;
    cy += (y + ny) * cross;
    a += cross;
  });
  return [Math.round((cx / (3 * a)) * 2), Math.round((cy / (3 * a)) * 2)];
}

const states = feature(simple, simple.objects.states)
  .features.filter(({ id }) => LETTERS[id])
  .map(({ id, properties, geometry }) => {
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    const rings = polygons.map(([outer]) => outer).sort((a, b) => area(b) - area(a));
    const kept = rings.filter((ring, i) => i === 0 || area(ring) >= SMALLEST);
    const [x, y] = middle(kept[0]);
    return { letters: LETTERS[id], name: properties.name, x, y, d: kept.map(path).join("") };
  })
  .sort((a, b) => (a.letters < b.letters ? -1 : 1));
if (states.length !== 51) throw new Error(`${states.length} states, expected 51`);

const licence = readFileSync(new URL("node_modules/us-atlas/LICENSE", import.meta.url), "utf8").trim();
const lines = states.map(
  ({ letters, name, x, y, d }) => `<path id="state-${letters}" data-name="${name}" data-x="${x}" data-y="${y}" d="${d}"/>`,
);
console.log(`<!-- From us-atlas, of the US Census Bureau's Cartographic Boundary Files.\n${licence}\n-->\n${lines.join("\n")}`);
