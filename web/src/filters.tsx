// The filters of lists. What is chosen stands in the page's address.
import { useEffect, useState } from "preact/hooks";
import { setQuery, useRoute } from "./route";

export const ENDED = ["executed", "rejected", "expired", "blocked", "failed", "outcome_unknown", "cancelled"];
export const RISKS = ["low", "medium", "high", "critical"];

/** A query of the parameters that are not empty. */
export function queryOf(params: Record<string, string>): URLSearchParams {
  return new URLSearchParams(Object.entries(params).filter(([, v]) => v !== ""));
}

/** The beginning of a day here, or of the day after it; null: there is no such day. */
export function dayAt(day: string, after = 0): Date | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day);
  return found && new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + after);
}

export function inDays(at: string | undefined, since: string, until: string): boolean {
  const time = Date.parse(at ?? "");
  const [from, to] = [dayAt(since), dayAt(until, 1)];
  return (!from || time >= from.getTime()) && (!to || time < to.getTime());
}

/** The days from which and to which a list goes. */
export function Days() {
  const { query } = useRoute();
  const day = (param: string, words: string) => (
    <label class={query.get(param) ? "chip day on" : "chip day"}>
      {words}
      <input
        type="date"
        value={query.get(param) ?? ""}
        onChange={(e) => setQuery({ [param]: e.currentTarget.value })}
      />
    </label>
  );
  return (
    <>
      {day("since", "From")}
      {day("until", "To")}
    </>
  );
}

const spaced = (word: string) => word.replaceAll("_", " ");

interface ChoiceProps {
  name: string;
  none?: string;
  values: string[];
  words?: (value: string) => string;
}

export function Choice({ name, none = name, values, words = spaced }: ChoiceProps) {
  const param = name.toLowerCase();
  const value = useRoute().query.get(param) ?? "";
  return (
    <select
      class={value ? "chip on" : "chip"}
      aria-label={name}
      value={value}
      onChange={(e) => setQuery({ [param]: e.currentTarget.value })}
    >
      <option value="">{none}</option>
      {values.map((v) => (
        <option key={v} value={v}>
          {words(v)}
        </option>
      ))}
    </select>
  );
}

export function Field({ name, param }: { name: string; param: string }) {
  const value = useRoute().query.get(param) ?? "";
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <input
      class={value ? "chip on" : "chip"}
      aria-label={name}
      placeholder={name}
      value={text}
      onInput={(e) => setText(e.currentTarget.value)}
      onChange={() => setQuery({ [param]: text.trim() })}
    />
  );
}
