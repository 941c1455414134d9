// Medians and their spread.

/** The median, the quartiles and the least of some numbers. */
export function quartiles(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (part) => {
    const place = (sorted.length - 1) * part;
    const low = Math.floor(place);
    return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  return { least: sorted[0], lower: at(0.25), median: at(0.5), upper: at(0.75) };
}

/** A number with three significant digits, and a thin space between thousands. */
export function figure(number) {
  if (!Number.isFinite(number)) return "–";
  const text = number >= 100 ? String(Math.round(number)) : number.toPrecision(3);
  return text.replace(/\B(?=(\d{3})+$)/g, text.includes(".") ? "" : " ");
}
