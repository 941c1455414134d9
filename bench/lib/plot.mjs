// Bar charts as SVG, readable in light and in dark, from numbers and names alone.

const WIDTH = 760;
const RIGHT = 70;
const BAR = 13;
const COLOURS = ["#2a78d6", "#e08a1e", "#2f9e63", "#b0509e", "#7d8590", "#c9463d"];

const escape = (text) => String(text).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

/** Ticks of an axis from `least` to `most`: powers of ten and what lies between, or round steps from zero. */
function ticks(least, most, isLog) {
  if (isLog) {
    const all = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++)
      for (const digit of [1, 2, 5]) all.push(digit * 10 ** power);
    return all.filter((tick) => tick >= least && tick <= most);
  }
  const step = [1, 2, 5, 10]
    .map((digit) => digit * 10 ** Math.floor(Math.log10(most / 5)))
    .find((step) => most / step <= 6);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}

/**
 * A chart of horizontal bars in groups. `series` names the bars of each group and `groups` are `{ name, values }`, a value
 * for each series (undefined is left out). `isLog`: lengths are logarithms, from 1 where values are ratios. `line` marks
 * a value, such as a target. `show` makes the text at a bar's end.
 */
export function bars({ title, series, groups, isLog = false, line, show = String }) {
  const values = groups.flatMap((group) => group.values).filter((value) => value !== undefined);
  // Room for the longest name; letters are about 6.4 wide.
  const margin = 20 + Math.round(6.4 * Math.max(...groups.map(({ name }) => name.length)));
  const most = Math.max(...values, line ?? 0) * (isLog ? 1.15 : 1.02);
  const least = isLog ? Math.min(0.9, Math.min(...values) * 0.9) : 0;
  const scale = (value) =>
    isLog ? Math.log(value / least) / Math.log(most / least) : Math.max(0, value - least) / (most - least);
  const x = (value) => Math.round((margin + scale(value) * (WIDTH - margin - RIGHT)) * 10) / 10;
  const parts = [];
  const legend = series.length > 1 ? 22 : 0;
  let y = 34 + legend;
  const top = y;
  for (const { name, values } of groups) {
    const shown = values.map((value, index) => ({ value, index })).filter(({ value }) => value !== undefined);
    parts.push(
      `<text x="${margin - 8}" y="${y + (shown.length * BAR) / 2 + 4}" text-anchor="end">${escape(name)}</text>`,
    );
    for (const { value, index } of shown) {
      // Ratios begin at 1: a bar to the left of it says slower.
      const from = isLog ? x(1) : margin;
      const [left, right] = [Math.min(from, x(value)), Math.max(from, x(value))];
      parts.push(
        `<rect x="${left}" y="${y}" width="${Math.max(1, right - left).toFixed(1)}" height="${BAR - 2}" fill="${COLOURS[index % COLOURS.length]}"/>`,
        `<text class="value" x="${right + 4}" y="${y + BAR - 4}">${escape(show(value))}</text>`,
      );
      y += BAR;
    }
    y += 9;
  }
  const axis = ticks(isLog ? least : 0, most, isLog).map(
    (tick) =>
      `<line x1="${x(tick)}" x2="${x(tick)}" y1="${top - 4}" y2="${y - 5}"/><text class="value" x="${x(tick)}" y="${y + 8}" text-anchor="middle">${tick}</text>`,
  );
  if (line !== undefined)
    axis.push(`<line class="target" x1="${x(line)}" x2="${x(line)}" y1="${top - 4}" y2="${y - 5}"/>`);
  let at = margin;
  const names = series.length > 1 ? series : [];
  const key = names.map((name, index) => {
    const entry = `<rect x="${at}" y="33" width="11" height="11" fill="${COLOURS[index % COLOURS.length]}"/><text x="${at + 16}" y="43">${escape(name)}</text>`;
    at += 32 + 6.4 * name.length;
    return entry;
  });
  const height = y + 16;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
<style>
  svg { background: #ffffff; font: 12px system-ui, sans-serif; }
  text { fill: #1f2328; } text.value { font-size: 10px; fill: #59636e; } text.title { font-weight: 600; font-size: 13px; }
  line { stroke: #d1d9e0; } line.target { stroke: #c9463d; stroke-dasharray: 4 3; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; } text { fill: #f0f6fc; } text.value { fill: #9198a1; } line { stroke: #3d444d; }
  }
</style>
<text class="title" x="12" y="20">${escape(title)}</text>
${[...axis, ...key, ...parts].join("\n")}
</svg>
`;
}
