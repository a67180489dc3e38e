// What a person reads after deciding: what stands now, who and when, and whether anything of theirs counted.
import "./headless";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, mock, test } from "node:test";
import { type Answer, isFinal, refused, taken } from "../src/answers";
import { type Decision, Failure } from "../src/api";
import { connectedAgain } from "../src/frame";
import type { DecisionAnswer, Kind, Request } from "../src/types";
import { words } from "./headless";

const AT = "2026-03-05T14:20:31Z"; // when it was sent
mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-03-05T14:20:37Z") });

const sent = Date.parse(AT);
const request: Request = {
  id: "c1",
  tool: "deploy",
  agent: "deploy-bot",
  status: "pending",
  live: true,
  timeline: [],
  deadline: "2026-03-05T14:20:28Z",
};
const decision = (kind: Kind): Decision => ({ kind, notes: "", digest: "d", decision_id: "1" });
const vote = (kind: Kind) => ({ decision_id: "1", kind, authenticated: true, at: AT });
const by = (kind: "approve" | "reject" | "cancel", name: string, notes?: string): Partial<Request> => ({
  decision: { kind, by: name, at: "2026-03-05T14:20:29Z", ...(notes ? { notes } : {}) },
});

interface Case {
  name: string;
  kind?: Kind;
  outcome?: string; // taken: 200
  problem?: { status: number; code?: string; outcome?: string; detail?: string; title?: string } | null;
  before?: Partial<Request>;
  after?: Partial<Request>;
  head: string;
  more: string;
  acts: Answer["acts"];
  rest?: Partial<Pick<Answer, "open" | "retry" | "ask">>;
}

const cases: Case[] = [
  {
    name: "the last approval",
    outcome: "resolved",
    head: "Approved. deploy is released and runs now.",
    more: "Yours was the last approval. The result will appear here.",
    acts: ["next"],
  },
  {
    name: "the last approval of a call that the caller runs",
    outcome: "resolved",
    after: {
      execution: "caller",
      status: "approved",
      waiting: { for: "the agent", until: "2026-03-05T14:47:30Z" },
    },
    head: "Approved. deploy-bot may run it now.",
    more: "Its permit is good until 14:47. What came of it will appear here.",
    acts: ["next"],
  },
  {
    name: "the same, once the agent runs it: until is when it must report",
    outcome: "resolved",
    after: {
      execution: "caller",
      status: "executing",
      waiting: { for: "its report", until: "2026-03-05T15:00:00Z" },
    },
    head: "Approved. deploy-bot may run it now.",
    more: "Yours was the last approval. What came of it will appear here.",
    acts: ["next"],
  },
  {
    name: "a rejection that ends it",
    kind: "reject",
    outcome: "resolved",
    head: "Rejected.",
    more: "deploy-bot reads your notes.",
    acts: ["next"],
  },
  {
    name: "one approval of three",
    outcome: "recorded",
    after: { approvals: { given: 2, needed: 3, missing: "one more person from security" } },
    head: "Your approval counts: 2 of 3.",
    more: "It now waits for one more person from security. You may still turn it into a rejection.",
    acts: ["change", "next"],
  },
  {
    name: "an approval that was given before",
    outcome: "recorded",
    before: { you: { may: ["reject"], voted: "approve" } },
    after: { approvals: { given: 2, needed: 3 } },
    head: "You had approved already.",
    more: "Nothing changed: 2 of 3.",
    acts: ["change", "next"],
  },
  {
    name: "one rejection of two",
    kind: "reject",
    outcome: "recorded",
    after: { votes: [vote("approve"), vote("reject")], requirement: { deny_count: 2 } },
    head: "Your rejection counts: 1 of 2.",
    more: "It goes on waiting until the others reject or approve. You can't take yours back.",
    acts: ["next"],
  },
  {
    name: "no worker",
    outcome: "not_judged_yet",
    head: "Sent and kept. Not judged yet.",
    more: "No worker has answered for 6.0 s. It counts from when it was sent, 14:20:31. You can leave; the answer will be here.",
    acts: ["next"],
    rest: { ask: "/api/requests/c1/decisions/1" },
  },
  {
    name: "others were faster",
    problem: { status: 409, outcome: "already_resolved" },
    after: { status: "rejected", ...by("reject", "bo", "Not all at once.") },
    head: "Already decided: bo rejected it at 14:20:29.",
    more: "“Not all at once.” Your approval came 2.0 s later and was not counted.",
    acts: ["next"],
  },
  {
    name: "others approved, in the same moment",
    kind: "reject",
    problem: { status: 409, code: "already_resolved" },
    after: { status: "executed", decision: { kind: "approve", by: "cy", at: AT } },
    head: "Already decided: cy approved it at 14:20:31.",
    more: "Your rejection was not counted.",
    acts: ["next"],
  },
  {
    name: "the agent withdrew it",
    problem: { status: 409, outcome: "already_resolved" },
    after: { status: "cancelled", ...by("cancel", "ci-runner") },
    head: "Already decided: ci-runner withdrew it at 14:20:29.",
    more: "Your approval came 2.0 s later and was not counted.",
    acts: ["next"],
  },
  {
    name: "it ended, and nobody is known to have ended it",
    problem: { status: 409, outcome: "already_resolved" },
    after: { status: "outcome_unknown" },
    head: "Already decided: it is outcome unknown.",
    more: "Your approval was not counted.",
    acts: ["next"],
  },
  ...["expired", "approval_expired"].map(
    (outcome): Case => ({
      name: outcome,
      problem: { status: 409, outcome },
      head: "Too late by 3.0 s. Denied by silence at 14:20:28.",
      more: "Nothing ran. deploy-bot was told that nobody answered in time and may ask again.",
      acts: ["next"],
    }),
  ),
  {
    name: "sent in time, and too late when it arrived",
    problem: { status: 409, outcome: "expired" },
    after: { deadline: "2026-03-05T14:20:32Z" },
    head: "Too late. Denied by silence at 14:20:32.",
    more: "Nothing ran. deploy-bot was told that nobody answered in time and may ask again.",
    acts: ["next"],
  },
  ...(["approve", "reject"] as const).map(
    (kind): Case => ({
      name: `about another digest, ${kind}`,
      kind,
      problem: { status: 409, outcome: "stale" },
      head: "The call changed while you read it. Nothing was counted.",
      more: `Your ${kind === "approve" ? "approval" : "rejection"} was for the version before.`,
      acts: ["reload"],
    }),
  ),
  {
    name: "the policy still judges it",
    problem: { status: 409, outcome: "not_waiting_yet" },
    head: "Not waiting for people yet.",
    more: "The policy is still judging it. Nothing was sent on; press again in a moment.",
    acts: ["reload"],
  },
  {
    name: "one's own call",
    problem: {
      status: 403,
      outcome: "forbidden",
      detail: "You can't approve this one: you asked for it. It needs one person from sre other than you.",
    },
    head: "You can't approve this one: you asked for it.",
    more: "It needs one person from sre other than you.",
    acts: ["reject", "next"],
  },
  {
    name: "another group's",
    kind: "reject",
    problem: {
      status: 403,
      outcome: "forbidden",
      detail: "You can't decide this one: it needs someone from security. You are in sre, finance.",
    },
    head: "You can't decide this one: it needs someone from security.",
    more: "You are in sre, finance.",
    acts: ["next"],
  },
  {
    name: "no reviewer",
    problem: { status: 403, code: "not_permitted", detail: "Only reviewers decide." },
    head: "Only reviewers decide.",
    more: "",
    acts: ["reject", "next"],
  },
  ...[
    { status: 404, outcome: "unknown" },
    { status: 404, code: "not_found" },
  ].map(
    (problem): Case => ({
      name: `no such call: ${problem.outcome ?? problem.code}`,
      problem,
      head: "There is no such call here.",
      more: "It may belong to another Pawl, or be out of your reach.",
      acts: ["next"],
    }),
  ),
  {
    name: "an operator ended its workflow",
    problem: { status: 409, code: "workflow_gone" },
    head: "Ended in Temporal by an operator.",
    more: "It can’t be decided any more.",
    acts: ["next"],
  },
  ...[
    { status: 422, outcome: "invalid", detail: "This call needs a reason: decide again, with notes." },
    { status: 400, code: "invalid", detail: "This call needs a reason: decide again, with notes." },
  ].map(
    (problem): Case => ({
      name: `not accepted, ${problem.status}`,
      problem,
      head: "Not accepted: This call needs a reason: decide again, with notes.",
      more: "Nothing was decided.",
      acts: [],
      rest: { open: true },
    }),
  ),
  {
    name: "signed out",
    problem: { status: 401, code: "unauthenticated", detail: "Sign in." },
    head: "You are signed out.",
    more: "Nothing was sent. Sign in, then decide; your notes are kept.",
    acts: ["sign-in"],
  },
  ...[429, 500, 503].map(
    (status): Case => ({
      name: `the server is busy, ${status}`,
      problem: { status, detail: "The store is busy. It may be full." },
      head: "Not taken yet: The store is busy.",
      more: "Trying again in 5 s. It is the same decision and counts once.",
      acts: ["again"],
      rest: { retry: Date.parse("2026-03-05T14:20:42Z") },
    }),
  ),
  {
    name: "busy, and no more is said",
    problem: { status: 503, title: "Service Unavailable" },
    head: "Not taken yet: Service Unavailable",
    more: "Trying again in 5 s. It is the same decision and counts once.",
    acts: ["again"],
    rest: { retry: Date.parse("2026-03-05T14:20:42Z") },
  },
  {
    name: "no connection",
    problem: null,
    head: "We don’t know whether it arrived.",
    more: "Sending again is safe: it is the same decision and counts once.",
    acts: ["again"],
  },
];

describe("answers", () => {
  for (const c of cases) {
    test(c.name, () => {
      const d = decision(c.kind ?? "approve");
      const after = { ...request, ...c.after };
      const failure = (p: Case["problem"]) =>
        new Failure(p ? { title: "", detail: "", code: "", ...p } : null);
      const a =
        c.problem === undefined
          ? taken(
              {
                ...request,
                outcome: c.outcome ?? "",
                decision_id: "1",
                location: "/api/requests/c1/decisions/1",
              } as DecisionAnswer,
              d,
              sent,
              { ...request, ...c.before },
              after,
            )
          : refused(failure(c.problem), d, sent, after);
      assert.deepEqual([words(a.head), words(a.more).trim()], [c.head, c.more]);
      assert.deepEqual(a.acts, c.acts);
      const { open, retry, ask } = a;
      assert.deepEqual(
        { open, retry, ask },
        { open: undefined, retry: undefined, ask: undefined, ...c.rest },
      );
    });
  }

  test("every outcome that the server knows is one of them", () => {
    const known = new Set(cases.map((c) => c.outcome ?? c.problem?.outcome));
    for (const file of ["approval/wire.go", "rest/calls.go"]) {
      const source = readFileSync(join(process.env.PAWL_SOURCE ?? "", file), "utf8");
      const outcomes = [...source.matchAll(/AnswerOutcome = "(\w+)"/g)].map(([, outcome]) => outcome);
      assert.ok(outcomes.length > 2);
      for (const outcome of outcomes) assert.ok(known.has(outcome), `${outcome} of ${file}`);
    }
  });

  for (const [status, final] of [
    [null, false],
    [401, true],
    [403, true],
    [409, true],
    [422, true],
    [429, false],
    [500, false],
    [503, false],
  ] as const) {
    test(`${status ?? "a lost connection"} is ${final ? "" : "not "}the last word`, () => {
      const problem = status && { title: "", status, detail: "", code: "" };
      assert.equal(isFinal(new Failure(problem || null)), final);
    });
  }
});

test("back after a lost connection, new calls are counted", () => {
  assert.deepEqual([0, 1, 2].map(connectedAgain), [
    "Connected again.",
    "Connected again. 1 call is new.",
    "Connected again. 2 calls are new.",
  ]);
});
