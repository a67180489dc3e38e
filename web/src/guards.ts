// The guards of the decision bar against approving by accident that need a clock or the keyboard.
import { useEffect, useRef } from "preact/hooks";

const CALM = 500; // ms

/** How long keys are dropped after arming, in ms. */
export const ARMING = 300;

/** Tells whether the bar, given as text, has not changed and no focus came for half a second. */
export function useCalm(bar: string): () => boolean {
  const calmFrom = useRef(performance.now());
  const known = useRef(bar);
  if (known.current !== bar) {
    known.current = bar;
    calmFrom.current = performance.now();
  }
  useEffect(() => {
    const again = () => {
      calmFrom.current = performance.now();
    };
    addEventListener("focus", again);
    return () => removeEventListener("focus", again);
  }, []);
  return () => performance.now() - calmFrom.current >= CALM;
}

/** Drops the repeated presses of a key that is held down. */
export function heldDown(e: KeyboardEvent): void {
  if (e.repeat && (e.key === "Enter" || e.key === " ")) e.preventDefault();
}
