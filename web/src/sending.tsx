// The bar while a decision is on its way.
import { Icon } from "./parts";
import type { Kind } from "./types";

export function Sending({ kind }: { kind: Kind }) {
  return (
    <div class="bar busy" role="status">
      <div class="answer busy">
        <Icon name="spin" />
        <h4>Sending your {kind === "approve" ? "approval" : "rejection"}…</h4>
        <p>Buttons are locked. Leaving this page is safe: once sent it is kept.</p>
      </div>
    </div>
  );
}
