// Figures for people. Amounts stay the decimal strings that the API sends: no float ever holds money.

const rates = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const NONE = "–";

/** A count with its thousands apart. */
export const count = (value) => (value === null || value === undefined ? NONE : whole.format(value));

/** Per second. */
export const perSecond = (value) => (value === null || value === undefined ? NONE : `${(value < 0.1 ? small : rates).format(value)}/s`);

/** A figure with at most one decimal. */
export const figure = (value) => (value === null || value === undefined ? NONE : rates.format(value));

/** A share of one. */
export const percent = (share) => `${rates.format(share * 100)} %`;

/** An amount in major units with its currency; thousands are kept apart by thin spaces. */
export function money(amount, currency) {
  const [, sign, units, rest] = /^(-?)(\d+)(.*)$/.exec(amount);
  const grouped = units.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return `${sign && "\u2212"}${grouped}${rest}${currency ? `\u00a0${currency}` : ""}`;
}

/** The minor units that an amount is written with, beside another of its currency; null if they are too many. */
export function likewise(amount, other) {
  const [units, given = ""] = amount.split(".");
  const digits = (other.split(".")[1] ?? "").length;
  if (given.length > digits) return null;
  const whole = units.replace(/^0+(?=\d)/, "");
  return digits ? `${whole}.${given.padEnd(digits, "0")}` : whole;
}

/** Whether an amount is nothing. */
export const isZero = (amount) => !/[1-9]/.test(amount);

/** A time in UTC, to the second or, `precise`, to the millisecond. */
export function moment(text, { precise = false } = {}) {
  if (!text) return NONE;
  const [date, time] = new Date(text).toISOString().split("T");
  return `${date} ${time.slice(0, precise ? 12 : 8)}`;
}

/** The time of day alone. */
export const clock = (text, { precise = false } = {}) => new Date(text).toISOString().slice(11, precise ? 23 : 19);

/** Microseconds since 1970, of which a Date keeps but the milliseconds. */
export function micros(text) {
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "";
  return Math.floor(Date.parse(text) / 1000) * 1_000_000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** A duration, in the unit in which people would say it. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds === 0) return "0 s";
  if (Math.abs(seconds) < 1) return `${rates.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${rates.format(seconds)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  return `${rates.format(seconds / 3600)} h`;
}

/** `amount_above_maximum` as words. */
export const words = (code) => code.replaceAll("_", " ");
