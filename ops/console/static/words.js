// How numbers, dates and causes are said.

import { el } from "./dom.js";

const KNOWN = ["Champions", "Loyal", "At-Risk", "Hibernating"];
const COLOURS = 8;
const DAY_MS = 86_400_000;
const settled = { currency: "USD", timezone: "UTC", exact: true };
let money, smallMoney, day, moment;

/** Take over how this installation counts. */
export function settle({ currency, timezone, dates }) {
  Object.assign(settled, { currency, timezone, exact: dates === "exact" });
  money = new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: 0 });
  smallMoney = new Intl.NumberFormat("en", { style: "currency", currency });
  day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: timezone });
  moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: timezone });
}
settle({ currency: "USD", timezone: "UTC", dates: "exact" });

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const sayCount = (number) => (number === null || number === undefined ? "not known" : whole.format(number));
export const sayOne = (number) => (number === null || number === undefined ? "not known" : (Math.abs(number) < 100 ? one : whole).format(number));
export const saySmall = (number) => (number < 0.01 ? "< 0.01" : small.format(number));
export const sayMoney = (amount) => (Math.abs(amount) < 1000 ? smallMoney : money).format(amount);
export const sayPercent = (share) => (share === null || share === undefined ? "–"
  : share > 0 && share < 0.005 ? "< 1 %" : share < 1 && share > 0.995 ? "> 99 %" : `${whole.format(share * 100)} %`);
export const plural = (number, word) => `${sayCount(number)} ${word}${number === 1 ? "" : "s"}`;

/** A date of a customer: a day, or the quarter where the role sees no more. */
export function sayDay(at) {
  if (at === null || at === undefined) return "–";
  const quarter = /^(\d{4})-Q(\d)$/.exec(at);
  return quarter ? `Q${quarter[2]} ${quarter[1]}` : day.format(new Date(at));
}

export const sayMoment = (at) => (at === null || at === undefined ? "not known" : /-Q\d$/.test(at) ? sayDay(at) : moment.format(new Date(at)));

/** How long, in the largest unit that is not rough. */
export function sayDays(days) {
  const number = Math.round(days);
  if (Math.abs(number) < 60) return plural(number, "day");
  if (Math.abs(number) < 700) return plural(Math.round(number / 30.44), "month");
  return `${sayOne(number / 365.25)} years`;
}

/** Days between two moments; null where one is known by the quarter only. */
export function daysBetween(from, to) {
  const days = (new Date(to) - new Date(from)) / DAY_MS;
  return Number.isNaN(days) || /-Q\d$/.test(`${from}${to}`) ? null : days;
}

/** Segments from the best to the worst where their names say which, the others behind. */
export function ordered(segments, nameOf = (one) => one) {
  const rank = (one) => (KNOWN.indexOf(nameOf(one)) + KNOWN.length + 1) % (KNOWN.length + 1);
  return [...segments].sort((one, other) => rank(one) - rank(other));
}

/** A class that gives a segment its colour, everywhere the same. */
export function colourOf(segment) {
  if (segment === null || segment === undefined) return "seg-none";
  const known = KNOWN.indexOf(segment);
  if (known >= 0) return `seg-${known}`;
  let sum = 0;
  for (const letter of segment) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return `seg-${KNOWN.length + (sum % (COLOURS - KNOWN.length))}`;
}

/** A segment or step of the lifecycle as a badge: a name, and a colour that only repeats it. */
export function badge(name, kind = "segment", absent = "not scored") {
  if (name === null || name === undefined) return el("span", { class: "badge seg-none" }, absent);
  return el("span", { class: `badge ${kind === "segment" ? colourOf(name) : `life-${name}`}` }, name);
}

const CAUSES = {
  transaction: "a purchase",
  silence: "silence",
  refund: "a refund",
  late_event: "a purchase known late",
  scorecard: "a new scorecard",
  erasure: "erasure",
};
export const CAUSE_NAMES = Object.keys(CAUSES);
export const sayCause = (cause) => CAUSES[cause] ?? cause;

/** Why, as part of a sentence about the customer. */
export function because(change) {
  switch (change.cause) {
    case "transaction":
      return change.previous === null ? "with their first purchase" : "because they bought";
    case "silence":
      return change.silence_days === null ? "because they had not bought for long"
        : `because they had not bought for ${sayDays(change.silence_days)}`;
    case "refund":
      return "because of a refund";
    case "late_event":
      return "because a purchase became known late";
    case "scorecard":
      return `because scorecard ${change.scorecard} draws the borders anew; they did nothing`;
    case "erasure":
      return "because they were erased";
    default:
      return `because of ${change.cause}`;
  }
}

/** P(alive) as odds that can be said on the phone. */
export function sayOdds(prob) {
  if (prob >= 0.995) return "almost certainly still a customer";
  if (prob < 0.01) return "almost certainly gone";
  const ten = Math.round(prob * 10);
  if (ten >= 1 && ten <= 9) return `${ten} in 10 customers like this one are still there`;
  return `${Math.max(Math.round(prob * 100), 1)} in 100 customers like this one are still there`;
}
