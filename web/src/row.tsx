// One row of the queue.
import { Mini, RiskShape } from "./parts";
import { isMine, type Row } from "./queue";
import { requestAddress } from "./route";
import { Summary } from "./summary";
import { Said } from "./text";
import { age, isSoon, left } from "./time";

export function OneRow({ row, current, marked }: { row: Row; current: boolean; marked: boolean }) {
  const { call: c, gone } = row;
  const soon = !gone && isSoon(c.deadline);
  const classes = ["row", soon && "soon", !isMine(c) && "theirs", gone && "gone", marked && "marked"];
  const s = c.approvals;
  return (
    <a
      class={classes.filter(Boolean).join(" ")}
      href={requestAddress(c.id)}
      aria-current={current ? "true" : undefined}
      data-id={c.id}
    >
      <RiskShape risk={c.risk} />
      <span class="tool">
        <Said text={c.tool} most={60} />
        <span class="vh">{c.risk && `, ${c.risk} risk`},</span>
      </span>
      <span class="left">
        {gone ? "just now" : c.deadline ? left(c.deadline) : ""}
        <span class="vh">{gone ? "," : " left,"}</span>
      </span>
      <span class="sum">
        <Summary v={c} row />
        <span class="vh">,</span>
      </span>
      <span class="meta">
        <span class="by">
          <Said text={c.agent || c.requester} most={30} />
        </span>
        <span>·</span>
        {age(c.created_at)}
        {s && !gone && (
          <>
            <span>·</span>
            <Mini given={s.given} needed={s.needed} />
            <span>
              {s.given} of {s.needed}
              <span class="vh"> approvals</span>
            </span>
          </>
        )}
        <span class="why">{gone ? gone.how : why(row)}</span>
      </span>
    </a>
  );
}

/** The one thing about a row that is worth a word. */
function why({ call: c }: Row): string {
  if (c.you?.voted === "approve") return "you approved";
  if (c.you?.voted === "reject") return "you rejected";
  const next = c.rack?.find((s) => s.state === "next");
  if (next && c.approvals && c.approvals.needed > 1) return next.label;
  if (!isMine(c) && c.approvals?.missing) return `needs ${c.approvals.missing}`;
  return "";
}
