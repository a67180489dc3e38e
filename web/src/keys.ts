// Keys of one letter. They are off in fields, with modifiers held, in dialogs, and where somebody
// switched them off (WCAG 2.1.4). None of them decides anything.
import { useEffect } from "preact/hooks";

type Action = (e: KeyboardEvent) => void;
const actions: Map<string, Action>[] = []; // those registered last come first

const OFF = "pawl.keys";
export const keysOn = (): boolean => localStorage.getItem(OFF) !== "off";
export const switchKeys = (on: boolean): void => localStorage.setItem(OFF, on ? "on" : "off");

/** Lets keys do things while the component is there. */
export function useKeys(keys: Record<string, Action | undefined>): void {
  useEffect(() => {
    const mine = new Map(Object.entries(keys).filter((e): e is [string, Action] => e[1] !== undefined));
    actions.unshift(mine);
    return () => void actions.splice(actions.indexOf(mine), 1);
  });
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
  for (const mine of actions) {
    const action = mine.get(e.key);
    if (action) {
      e.preventDefault();
      action(e);
      return;
    }
  }
});
