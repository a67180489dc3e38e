// What the API answers, as far as the page reads it. api/openapi.yaml describes all of it.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Risk = "low" | "medium" | "high" | "critical";
export type Status =
  | "evaluating"
  | "pending"
  | "approved"
  | "executing"
  | "executed"
  | "rejected"
  | "expired"
  | "blocked"
  | "failed"
  | "outcome_unknown"
  | "cancelled";
export type Kind = "approve" | "reject";

export interface Me {
  subject: string;
  roles: string[];
  groups?: string[];
  method: "none" | "token" | "oidc";
  token_id?: string;
}

export interface Vote {
  decision_id: string;
  kind: Kind;
  reviewer?: string;
  notes?: string;
  authenticated: boolean;
  method?: string;
  groups?: string[];
  at: string;
}

export interface Settlement {
  kind: "allow" | "deny" | "approve" | "reject" | "expire" | "cancel";
  by?: string;
  notes?: string;
  at: string;
}

export interface You {
  may: string[];
  why?: string;
  if_approve?: string;
  if_reject?: string;
  voted?: Kind;
}

export interface Segment {
  state: "met" | "next" | "later";
  label: string;
  note?: string;
  at?: string;
}

export interface Standing {
  given: number;
  needed: number;
  missing?: string;
}

export interface Requirement {
  deny_count?: number;
  require_reason?: boolean;
}

export interface View {
  id: string;
  tool?: string;
  args?: Json;
  digest?: string;
  status: Status;
  risk?: Risk;
  agent?: string;
  team?: string;
  session?: string;
  title?: string;
  description?: string;
  reason?: string;
  labels?: Record<string, string>;
  requester?: string;
  created_at?: string;
  deadline?: string;
  ended_at?: string;
  started_at?: string;
  policy?: { digest: string; layer?: string; rule?: string };
  requirement?: Requirement;
  votes?: Vote[];
  decision?: Settlement;
  result?: Json;
  error?: { code: string; message: string };
  execution?: string;
  schema_unknown?: boolean;
  settled?: Settled;
}

/** What a person found out about a call whose outcome was unknown. */
export interface Settled {
  ran: boolean;
  by?: string;
  at: string;
  notes?: string;
}

export interface Listed extends View {
  you?: You;
  rack?: Segment[];
  approvals?: Standing;
  summary?: Span[]; // what it would do, in one line
}

export interface Obstacle {
  code: string;
  message: string;
}

export interface PolicyNow {
  action: string;
  effect: "blocked" | "waits" | "none";
  reason: string;
  rule: string;
  version: number;
  at: string; // when it became active
  compare?: Block[];
}

export interface TimelineEvent {
  kind: string;
  at: string;
  payload: Json;
  damage?: string;
}

export interface PastCall {
  id: string;
  status: Status;
  by?: string;
  notes?: string;
  at: string;
}

export interface Attempt extends PastCall {
  tool: string;
  compare?: Block[]; // with the next attempt
  more_changed?: number;
}

export interface Request extends Listed {
  live: boolean;
  blocks?: Block[];
  found?: Found;
  waiting?: { for: string; until?: string; problems?: Obstacle[] };
  policy_now?: PolicyNow;
  attempts?: Attempt[]; // oldest first
  previous?: PastCall[]; // newest first
  timeline: TimelineEvent[];
  timeline_cursor?: string;
}

export interface DecisionAnswer extends View {
  outcome: string;
  decision_id: string;
  message?: string;
  location?: string;
}

export interface Problem {
  title: string;
  status: number;
  detail: string;
  code: string;
  outcome?: string;
  location?: string;
}

export interface Page<T> {
  items: T[];
  total: number;
  next_cursor: string;
}

export interface Entry {
  call_id: string;
  step: string;
  kind: string;
  at: string;
  payload: Json;
  leaf_hash: string;
  damage?: string;
}

export interface Tool {
  name: string;
  description?: string;
  kind: string;
  queue: string;
  timeout: string;
  served: boolean | null;
}

export interface PolicyVersion {
  version: number;
  digest: string;
  at?: string;
  by?: string;
  note?: string;
}

export interface PolicyText {
  digest: string;
  layers: { name: string; text: string }[];
}

/** A piece of a line: text, or something about the text that is ours. Package present makes them. */
export interface Span {
  t: "text" | "hidden" | "look" | "gap" | "redacted" | "cut" | "note";
  s: string;
  name?: string; // of a character or a hidden value, for people
  n?: number; // how many characters it stands for, if that is not one
  as?: "value" | "strong" | "dim" | "danger" | "keyword" | "string" | "number" | "key" | "changed";
}

export interface Line {
  spans: Span[];
  sign?: "+" | "-" | " " | "@" | "file";
  old?: number;
  new?: number;
  depth?: number; // in a tree
  closed?: number; // how many lines below are closed at first
}

export interface Row {
  name?: Span[];
  was?: Line[];
  value?: Line[];
  note?: Span[];
  cells?: Span[][];
}

/** What is made to look like something else, counted. */
export interface Found {
  hidden?: number;
  look?: number;
  gaps?: number;
}

/** One way of showing part of a call, as package present makes it. */
export interface Block {
  kind: "facts" | "table" | "text" | "code" | "diff" | "mail" | "tree" | "compare";
  part: "facts" | "args" | "said" | "result";
  name?: Span[];
  lang?: string;
  columns?: Span[][];
  rows?: Row[];
  lines?: Line[];
  chars: number;
  note?: Span[];
  found?: Found;
}
