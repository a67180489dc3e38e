// What people were asked about, and how it ended.
import { Choice, chosenIn, Days, ENDED, Field, NoMatch, queryOf, RISKS, Search } from "./filters";
import { Failed, More, PageFrame, useList, Waiting, WideTable } from "./lists";
import { inWords, Notice, Quote, StatusMark } from "./parts";
import { requestAddress, setQuery, useRoute } from "./route";
import { Summary } from "./summary";
import { Said } from "./text";
import { clock, full, length } from "./time";
import type { Listed } from "./types";

export function History() {
  const { query } = useRoute();
  const param = (name: string) => query.get(name) ?? "";
  const filters = queryOf(chosenIn(query, ["tool", "agent", "risk", "by", "status"]));
  const any = filters.size > 0;
  if (!param("status")) filters.set("status", "ended");
  const list = useList<Listed>(`/api/requests?${filters}&limit=100`, (c) => c.id);
  const unknown = useList<Listed>("/api/requests?status=outcome_unknown&limit=20", (c) => c.id);
  const toSettle = (unknown.items ?? []).filter((c) => !c.settled).length;
  // The page looks for text through what it has loaded.
  const q = param("q").toLowerCase();
  const texts = (c: Listed) => JSON.stringify([c.tool, c.agent, c.decision, c.args, c.id, c.requester]);
  const shown = (list.items ?? []).filter((c) => texts(c).toLowerCase().includes(q));
  return (
    <PageFrame title="History" about="calls that people were asked about, newest first">
      {toSettle > 0 && (
        <Notice
          kind="warn"
          icon="help"
          head={toSettle === 1 ? "1 outcome is unknown." : `${toSettle} outcomes are unknown.`}
          end={
            <button class="btn small" type="button" onClick={() => setQuery({ status: "outcome_unknown" })}>
              Show
            </button>
          }
        >
          The tool may have run. Look at its own records.
        </Notice>
      )}
      <div class="fbar">
        <Search of="Search" hint="Tool, agent, person, text" />
        <div class="choices">
          <Choice name="Status" none="Any end" values={[...ENDED, "approved", "executing"]} words={inWords} />
          <Choice name="Risk" values={RISKS} />
          <Field name="Tool" param="tool" />
          <Field name="Agent" param="agent" />
          <Field name="Decided by" param="by" />
          <Days from="Asked from" />
        </div>
      </div>
      <Failed failure={list.failure} />
      {!list.items ? (
        !list.failure && <Waiting />
      ) : shown.length === 0 ? (
        any || q || list.next ? (
          <NoMatch more={Boolean(list.next)} />
        ) : (
          <p class="dim">Nothing has ended yet. What people were asked about is listed here.</p>
        )
      ) : (
        <WideTable>
          <table class="tbl">
            <thead>
              <tr>
                <th>Ended</th>
                <th>Status</th>
                <th>Call</th>
                <th>Agent</th>
                <th>By</th>
                <th>Note</th>
                <th class="num">Waited</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((c) => (
                <HistoryRow key={c.id} c={c} />
              ))}
            </tbody>
          </table>
        </WideTable>
      )}
      <More next={list.next} load={list.loadMore} />
    </PageFrame>
  );
}

function HistoryRow({ c }: { c: Listed }) {
  const d = c.decision;
  const by =
    d?.by || (d?.kind === "expire" ? "nobody" : d?.kind === "deny" || d?.kind === "allow" ? "policy" : "");
  const note = d?.notes ? (
    <Quote text={d.notes} />
  ) : c.settled ? (
    `settled: ${c.settled.ran ? "did run" : "did not run"}`
  ) : c.status === "expired" && d?.kind === "expire" ? (
    "denied by silence"
  ) : (
    c.status !== "cancelled" && <Said text={c.error?.message} most={120} />
  );
  const decided = d?.at && c.created_at ? Date.parse(d.at) - Date.parse(c.created_at) : null;
  return (
    <tr>
      <td class="nowrap" title={full(c.ended_at)}>
        {clock(c.ended_at)}
      </td>
      <td>
        <StatusMark status={c.status} />
      </td>
      <td>
        <a class="mono" href={requestAddress(c.id)}>
          <Said text={c.tool} most={60} />
        </a>
        <span class="sub">
          <Summary v={c} row />
        </span>
      </td>
      <td class="name" data-of="agent">
        <Said text={c.agent || c.requester} most={60} />
      </td>
      <td class="name" data-of="by">
        {by && <Said text={by} most={60} />}
      </td>
      <td class="dim last">
        {note} {c.status === "outcome_unknown" && !c.settled && <a href={requestAddress(c.id)}>Look…</a>}
      </td>
      <td class="num" data-of="waited">
        {decided !== null && length(decided)}
      </td>
    </tr>
  );
}
