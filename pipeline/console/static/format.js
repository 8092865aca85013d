// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ROUGH = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const EXACT = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const TIMES = /(^|_)(time|seen|start|end|at)$/;

export const NOTHING = "–";

export const count = (number) => (number === null || number === undefined ? NOTHING : WHOLE.format(number));

export function rate(number) {
  if (number === null || number === undefined) return NOTHING;
  return `${number >= 0.05 && number < 10 ? ROUGH.format(number) : WHOLE.format(number)}/s`;
}

export function seconds(number) {
  if (number === null || number === undefined) return NOTHING;
  if (number < 60) return `${number < 1 ? "under 1" : WHOLE.format(number)} s`;
  return number < 5400 ? `${WHOLE.format(number / 60)} min` : `${ROUGH.format(number / 3600)} h`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "no value";
  return number < 10_000 ? `${WHOLE.format(number)} B` : `${WHOLE.format(number / 1000)} kB`;
}

export const time = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
export const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

// A field of a row, whatever it is called.
export function field(name, value) {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value === "number") {
    if (Number.isInteger(value)) return TIMES.test(name) && value > 1e11 && value < 1e14 ? time(value) : WHOLE.format(value);
    return Math.abs(value) >= 1e9 || Math.abs(value) < 1e-4 ? value.toExponential(4) : EXACT.format(value);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export const words = (name) => name.replaceAll("_", " ").replaceAll(".", " ");
