// The audit log, or the entries of one request.
import { requestPath } from "./api";
import { useCell } from "./cell";
import { Choice, chosenIn, Days, ENDED, Field, NoMatch, queryOf, RISKS } from "./filters";
import { Failed, More, PageFrame, useList, useLoaded, Waiting, WideTable } from "./lists";
import { inWords, Notice } from "./parts";
import { requestAddress, setQuery, useRoute } from "./route";
import { canAudit, session } from "./session";
import { Said } from "./text";
import { clock, full } from "./time";
import { describe } from "./timeline";
import type { Entry, Request } from "./types";

export const KINDS =
  "call.requested call.blocked decision.counted decision.refused decision.sent call.tightened call.claimed tool.started tool.not_started tool.reported call.ended call.settled call.erased access.forbidden signin.failed policy.applied token.created token.pruned token.revoked store.restored call.lost log.renamed key.added key.retired key.revoked".split(
    " ",
  );

export function Audit() {
  const { query } = useRoute();
  const id = query.get("request_id") ?? "";
  return canAudit(useCell(session)) ? <AuditLog id={id} /> : id ? <AuditOfRequest id={id} /> : <NoAudit />;
}

function NoAudit() {
  return (
    <PageFrame title="Audit">
      <Notice kind="info" icon="lock" head="The whole audit log is for auditors and administrators.">
        You see the entries of each request under “So far”, and by its link “Audit of this request”.
      </Notice>
    </PageFrame>
  );
}

/** A reviewer sees the entries of one request, which come with it. */
function AuditOfRequest({ id }: { id: string }) {
  const { value: r, failure } = useLoaded<Request>(requestPath(id));
  const entries = r?.timeline.map((e) => ({ ...e, call_id: r.id, leaf_hash: "" })).reverse();
  return (
    <PageFrame
      title="Audit"
      about={
        <>
          entries of <a href={requestAddress(id)}>{id}</a>
        </>
      }
    >
      <Failed failure={failure} />
      {entries ? <Entries entries={entries} one /> : !failure && <Waiting />}
      {r?.timeline_cursor && <p class="dim">There are more: pawl audit list, by an auditor.</p>}
    </PageFrame>
  );
}

/** Whether the API looks for somebody in a part of the log only: by, order, limit and until do not bound a search. */
export function leavesOut(params: URLSearchParams): boolean {
  return params.has("by") && [...params.keys()].every((name) => /^[boul]/.test(name));
}

function AuditLog({ id }: { id: string }) {
  const { query } = useRoute();
  const params = queryOf({
    ...chosenIn(query, ["kind", "tool", "agent", "by", "status", "risk"]),
    order: "newest",
    limit: "100",
    request_id: id,
  });
  const list = useList<Entry>(`/api/audit?${params}`, (e) => `${e.call_id} ${e.step}`);
  return (
    <PageFrame
      title="Audit"
      about={
        <>
          {id ? (
            <>
              entries of <a href={requestAddress(id)}>{id}</a>,{" "}
            </>
          ) : (
            "newest first, "
          )}
          {list.items?.length ?? 0} of {list.total > 1000 ? "more than 1,000" : list.total}
          {leavesOut(params) && ", without calls that nobody was asked about: add a kind or From"}
        </>
      }
    >
      <div class="fbar">
        <div class="choices">
          <Choice name="Kind" values={KINDS} />
          <Field name="Tool" param="tool" />
          <Field name="Agent" param="agent" />
          <Field name="Decided by" param="by" />
          <Choice name="Status" values={[...ENDED, "pending", "approved", "executing"]} words={inWords} />
          <Choice name="Risk" values={RISKS} />
          <Days />
          {id && (
            <button class="chip" type="button" onClick={() => setQuery({ request_id: "" })}>
              All requests
            </button>
          )}
        </div>
      </div>
      <Failed failure={list.failure} />
      {list.items?.length === 0 ? (
        <NoMatch more={Boolean(list.next)} />
      ) : list.items ? (
        <Entries entries={list.items} one={id !== ""} />
      ) : (
        !list.failure && <Waiting />
      )}
      <More next={list.next} load={list.loadMore} />
    </PageFrame>
  );
}

/** Entries of the log, or of one call, which is not named in each row. */
function Entries({ entries, one }: { entries: Omit<Entry, "step">[]; one: boolean }) {
  const hashes = entries.some((e) => e.leaf_hash);
  return (
    <WideTable>
      <table class="tbl">
        <thead>
          <tr>
            <th>Time</th>
            <th>Kind</th>
            <th>What</th>
            {!one && <th>Call</th>}
            {hashes && <th>Leaf hash</th>}
          </tr>
        </thead>
        <tbody>
          {entries.map((e, i) => (
            <tr key={i}>
              <td class="mono nowrap" title={full(e.at)}>
                {clock(e.at)}
              </td>
              <td class="nowrap">{e.kind}</td>
              <td class="whole">
                {describe(e.kind, e.payload).words}
                {e.damage && (
                  <span class="u">
                    changed: <Said text={e.damage} />
                  </span>
                )}
              </td>
              {!one && (
                <td class="mono">
                  {e.call_id === "@policy" ? (
                    <a href="/policy">{e.call_id}</a>
                  ) : e.call_id.startsWith("@") ? (
                    e.call_id
                  ) : (
                    <a href={requestAddress(e.call_id)}>{e.call_id.slice(0, 20)}</a>
                  )}
                </td>
              )}
              {hashes && (
                <td class="mono dim nowrap" data-of="leaf" title={e.leaf_hash}>
                  {e.leaf_hash.slice(0, 4)} {e.leaf_hash.slice(4, 8)} …
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </WideTable>
  );
}
