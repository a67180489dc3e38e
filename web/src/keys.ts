// Keys of one letter. They are off in fields, with modifiers held, in dialogs, and where somebody
// switched them off (WCAG 2.1.4). None of them decides anything.
import { useEffect, useRef } from "preact/hooks";

type Actions = Record<string, (() => unknown) | undefined>;
const components: { current: Actions }[] = []; // those that came last are first

const OFF = "pawl.keys";
export const keysOn = (): boolean => localStorage.getItem(OFF) !== "off";
export const switchKeys = (on: boolean): void => localStorage.setItem(OFF, on ? "on" : "off");

/** Lets keys do things while the component is there. One that returns false leaves its key to others. */
export function useKeys(keys: Actions): void {
  const mine = useRef(keys);
  mine.current = keys;
  useEffect(() => {
    components.unshift(mine);
    return () => void components.splice(components.indexOf(mine), 1);
  }, []);
}

const REPEATING = ["j", "k"];

function typing(e: KeyboardEvent): boolean {
  const t = e.target;
  return t instanceof HTMLInputElement
    ? !["checkbox", "radio"].includes(t.type)
    : t instanceof HTMLTextAreaElement || t instanceof HTMLSelectElement;
}

addEventListener("keydown", (e) => {
  if (e.defaultPrevented || e.isComposing || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "Escape") {
    // Esc is no key of one letter: it always goes back.
  } else if (typing(e) || document.querySelector("dialog[open]") || !keysOn() || e.key.length > 1) return;
  if (e.repeat && !REPEATING.includes(e.key)) return;
  for (const mine of components) {
    const action = mine.current[e.key];
    if (action && action() !== false) return e.preventDefault();
  }
});
