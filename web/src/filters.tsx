// The filters of lists. What is chosen stands in the page's address.
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Icon, LEVELS } from "./parts";
import { setQuery, useRoute } from "./route";

export const ENDED = ["executed", "rejected", "expired", "blocked", "failed", "outcome_unknown", "cancelled"];
export const RISKS = Object.keys(LEVELS);

/** A query of the parameters that are not empty. */
export function queryOf(params: Record<string, string>): URLSearchParams {
  return new URLSearchParams(Object.entries(params).filter(([, v]) => v !== ""));
}

/** The beginning of a day here, or of the day after it; empty: there is no such day. */
function dayAt(day: string | null, after = 0): string {
  const found = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day ?? "");
  if (!found) return "";
  return new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + after).toISOString();
}

/** What is chosen, as parameters of a list: those named, and the days, of which the last one is in it. */
export function chosenIn(query: URLSearchParams, names: string[]): Record<string, string> {
  return {
    ...Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""])),
    since: dayAt(query.get("since")),
    until: dayAt(query.get("until"), 1),
  };
}

/** The days from which and to which a list goes. */
export function Days({ from = "From" }: { from?: string }) {
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
      {day("since", from)}
      {day("until", "To")}
    </>
  );
}

/** Said in place of a list of which nothing matches the filters. */
export function NoMatch({ more, cls = "dim" }: { more: boolean; cls?: string }) {
  const { query } = useRoute();
  const clear = () => setQuery(Object.fromEntries([...query.keys()].map((name) => [name, ""])));
  return (
    <p class={cls}>
      <span>{more ? "Nothing matches so far. Load more to look further." : "Nothing matches."}</span>{" "}
      <button class="as-link" type="button" onClick={clear}>
        Clear filters
      </button>
    </p>
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

/** The field for text that is looked for in what the page has loaded. */
export function Search({
  of,
  hint,
  field,
}: {
  of: string;
  hint: string;
  field?: RefObject<HTMLInputElement | null>;
}) {
  return (
    <div class="search">
      <Icon name="search" />
      <input
        type="search"
        ref={field}
        aria-label={of}
        placeholder={hint}
        value={useRoute().query.get("q") ?? ""}
        onInput={(e) => setQuery({ q: e.currentTarget.value })}
      />
      {field && <kbd>/</kbd>}
    </div>
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
