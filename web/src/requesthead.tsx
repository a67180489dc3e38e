// The head of a request: its risk, its tool, until when it waits, and who asks.
import { Left, RiskTag, runner, Soon, StatusMark } from "./parts";
import { Summary } from "./summary";
import { Said, Spans } from "./text";
import { ago, clock, full } from "./time";
import type { Request } from "./types";

export function Head({ r, heading }: { r: Request; heading: preact.RefObject<HTMLHeadingElement | null> }) {
  const waits = r.status === "pending" && !r.error;
  return (
    <div class="head">
      <div class="line">
        <RiskTag risk={r.risk} />
        <span class="toolname">
          <Said text={r.tool} />
        </span>
        {waits && r.deadline ? (
          <Soon deadline={r.deadline}>
            Denied at {clock(r.deadline, false)} without a decision <Left deadline={r.deadline} />
          </Soon>
        ) : (
          <span class="until">
            <StatusMark status={r.status} />
          </span>
        )}
      </div>
      <h2 class="summary" tabIndex={-1} ref={heading}>
        <Summary v={r} />
      </h2>
      <p class="facts">
        <Fact r={r} name="agent" />
        <Fact r={r} name="requester" words="asked by" />
        <Fact r={r} name="team" words="for team" />
        <Fact r={r} name="session" />
        {r.created_at && (
          <span title={full(r.created_at)}>
            asked{" "}
            <b>
              {clock(r.created_at, false)}, {ago(r.created_at)}
            </b>
          </span>
        )}
        <span>
          run by <b>{runner(r)}</b>
        </span>
        {r.policy && (
          <span>
            rule{" "}
            <b>
              {r.policy.rule ? (
                <a
                  href={`/policy/${encodeURIComponent(r.policy.digest)}#${encodeURIComponent(r.policy.rule)}`}
                >
                  <Said text={r.policy.rule} most={80} />
                </a>
              ) : (
                "none: needs approval by default"
              )}
            </b>
          </span>
        )}
      </p>
    </div>
  );
}

/** One of the names that came with the call, marked as values are. */
function Fact({ r, name, words = name }: { r: Request; name: string; words?: string }) {
  const facts = r.blocks?.find((b) => b.kind === "facts");
  const row = facts?.rows?.find((f) => f.name?.[0]?.s === name);
  if (!row) return null;
  return (
    <span>
      {words}{" "}
      <b>
        <bdi dir="auto">
          <Spans spans={(row.value ?? []).flatMap((l) => l.spans)} />
        </bdi>
      </b>
    </span>
  );
}
