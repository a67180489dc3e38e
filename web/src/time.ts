// Times as people read them. Nothing is rounded up: what is shown as left is left.
import { now } from "./api";

const two = (n: number) => String(n).padStart(2, "0");

/** How long until a deadline: "2 d 4 h", "1 h 12 m", "26:10", "0:48"; "ending" once it is over. */
export function left(deadline: string, at = now()): string {
  const s = Math.floor((Date.parse(deadline) - at) / 1000);
  if (s < 0) return "ending";
  if (s >= 86_400) return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export function isSoon(deadline: string | undefined): boolean {
  return deadline !== undefined && Date.parse(deadline) - now() < 5 * 60_000;
}

/** A length of time: "8.2 s", "38 s", "4 m 02 s", "2 h 05 m", "3 d". */
export function length(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(Math.floor(s % 60))} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86_400)} d`;
}

/** How long ago: "now", "4 m", "2 h", "3 d". */
export function age(then: string | undefined): string {
  if (!then) return "";
  const s = Math.floor((now() - Date.parse(then)) / 1000);
  if (s < 60) return s < 10 ? "now" : `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export function ago(then: string | undefined): string {
  const a = age(then);
  return a === "now" ? "just now" : a && `${a} ago`;
}

/** The time of day, with the day where that is not today. */
export function clock(at: string | number | undefined, seconds = true): string {
  if (at === undefined) return "";
  const d = new Date(at);
  const time = `${two(d.getHours())}:${two(d.getMinutes())}${seconds ? `:${two(d.getSeconds())}` : ""}`;
  const today = new Date(now());
  if (d.toDateString() === today.toDateString()) return time;
  const day = d.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return d.getFullYear() === today.getFullYear() ? `${day} ${time}` : `${day} ${d.getFullYear()} ${time}`;
}

/** Date and time in full, for titles. */
export function full(at: string | undefined): string {
  return at ? new Date(at).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" }) : "";
}
