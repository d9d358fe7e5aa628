// Numbers, times and units as people read them. What is not known is NONE, never 0.

export const NONE = "–";

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

const known = (number) => typeof number === "number" && Number.isFinite(number);

/** A count, with thousands separators. */
export const count = (number) => (known(number) ? whole.format(number) : NONE);

/** Something a second: two digits that count, and no more. */
export function rate(number) {
  if (!known(number)) return NONE;
  if (number === 0 || number >= 99.95) return whole.format(number);
  return number >= 9.995 ? tenths.format(number) : hundredths.format(number);
}

/** A part of 1. Rounded down, so that only all is 100 %. */
export function percent(part) {
  if (!known(part)) return NONE;
  const shown = Math.floor(part * 1000 + 1e-9) / 10;
  return `${shown === 0 || shown === 100 ? whole.format(shown) : tenths.format(shown)} %`;
}

export function bytes(number) {
  if (!known(number)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; number >= 1024 && unit < units.length - 1; unit += 1) number /= 1024;
  return `${unit === 0 || number >= 100 ? whole.format(number) : tenths.format(number)} ${units[unit]}`;
}

/** A time of so many seconds, in its two largest units. */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 0.9995) return `${whole.format(seconds * 1000)} ms`;
  if (seconds < 9.95 && !Number.isInteger(seconds)) return `${tenths.format(seconds)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const two = (big, name, small, rest) => (small ? `${big} ${name} ${small} ${rest}` : `${big} ${name}`);
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  const m = Math.floor(s / 60);
  if (m < 1440) return two(Math.floor(m / 60), "h", m % 60, "min");
  const h = Math.floor(m / 60);
  return two(whole.format(Math.floor(h / 24)), "d", h % 24, "h");
}

/** The local time of a Unix time in milliseconds. */
export const time = (ms) => clock.format(ms);
export const dateAndTime = (ms) => date.format(ms);
export const hourAndMinute = (ms) => minute.format(ms);

/** "1 session", "2,000 sessions". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
