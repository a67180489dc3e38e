// Calls in every state, for the pictures of the page.
import { calls } from "./calls";
import { ruled, type Stack } from "./stack";

/** Calls in every state; more of them for what a picture changes. */
export async function askAll(s: Stack) {
  const { reject, approve } = {
    reject: (id: string, notes: string) => s.as("bo", "POST", `/api/requests/${id}/reject`, { notes }),
    approve: (id: string, notes = "") => s.as("bo", "POST", `/api/requests/${id}/approve`, { notes }),
  };
  const ids = {} as Record<keyof typeof calls, string>;
  for (const name of Object.keys(calls) as (keyof typeof calls)[]) ids[name] = await s.asks(calls[name]);
  await approve(ids.deploy, "Dashboards are fine.");
  const tried = await s.asks({ ...calls.rows, session: "s-77aa" });
  await reject(tried, "The IBAN of Contoso changed last week. Ask them first.");
  await s.as("cy", "POST", `/api/requests/${tried}/reject`, { notes: "Same here." });
  const payouts = calls.rows.args.payouts.map((o) =>
    o.name === "Contoso GmbH" ? { ...o, iban: "DE02 1203 0000 0000 2020 51" } : o,
  );
  const again = await s.asks({
    ...calls.rows,
    args: { ...calls.rows.args, payouts },
    attempt_of: tried,
    session: "s-77aa",
  });
  const rejected = await s.asks({ ...calls.publish, args: { page: "Roadmap" } });
  await reject(rejected, "Not before the board has seen it.");
  const done = await s.asks({ ...calls.publish, args: { page: "Status" } });
  s.answer = () => ({
    status: 200,
    body: '{"ok": true, "url": "https://docs.example.com/status", "visitors": 1204}',
  });
  await approve(done);
  await s.until(done, (r) => r.status === "executed");
  s.answer = () => ({ status: 422, body: '{"error": "quota exceeded"}' });
  const failed = await s.asks({
    ...calls.tree,
    args: '{"kind": "Deployment", "name": "basket", "cluster": "prod-eu"}',
  });
  await approve(failed);
  await s.until(failed, (r) => r.status === "failed");
  s.answer = () => ({ status: 500, body: "connection lost" });
  const unknown = await s.asks({ ...calls.money, args: { amount: 8000, currency: "EUR", order: "88-0931" } });
  await approve(unknown, "Second complaint.");
  await s.until(unknown, (r) => r.status === "outcome_unknown");
  s.answer = () => ({ status: 200, body: '{"ok": true}' });
  const expired = await s.asks({ tool: "slow.tool", args: { table: "prices" }, agent: "data-bot" });
  await s.until(expired, (r) => r.status === "expired");
  const payout = await s.asks({ ...calls.rows, args: { batch: "2026-10" } });
  await reject(payout, "The IBAN changed last week. Who confirmed it?");
  await s.asks({ ...calls.publish, args: { page: "Prices" }, timeout: "4m" });
  const cancelled = await s.asks({ ...calls.publish, args: { page: "Jobs" } });
  await s.as("ci-runner", "POST", `/api/calls/${cancelled}/cancel`, {});
  const blocked = await s.asks({ tool: "reason.tool", args: { n: 1 } });
  const changed = await s.asks({ tool: "reason.tool", args: { n: 2 } });
  await s.apply(ruled("reason.tool", "deny: true"));
  await approve(blocked, "It is needed.").catch(() => {}); // it may have ended by then
  await s.until(blocked, (r) => r.status === "blocked");
  await s.apply(ruled("reason.tool", "approvals: [{group: security, count: 1}, {count: 2}], deny_count: 2"));
  const toApprove = await s.asks({ ...calls.publish, args: { page: "Changelog" } });
  await s.asks({ ...calls.publish, args: { page: "Changelog" }, agent: "docs-bot" });
  return {
    ...ids,
    again,
    rejected,
    done,
    failed,
    unknown,
    expired,
    toApprove,
    payout,
    cancelled,
    blocked,
    changed,
  };
}
