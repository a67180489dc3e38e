// What a TypeScript program needs of Pawl's wire: one workflow type, two
// signals, one query, two header fields. docs/tools.md has the contract.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type WorkflowHandle,
} from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { encryption } from './codec.js';

export const header = { callId: 'pawl-call-id', digest: 'pawl-digest' } as const;

const fingerprintMemo = 'pawl_fingerprint';

/** One tool call, as the agent asks for it. What runs is exactly this. */
export interface Call {
  tool: string;
  args: Record<string, unknown>;
  agent?: string;
  session?: string;
  reason?: string;
  labels?: Record<string, string>;
}

/** How a call ended: the result of its workflow, which never fails by itself. */
export interface Outcome {
  id: string;
  tool: string;
  status: 'executed' | 'rejected' | 'expired' | 'blocked' | 'failed' | 'outcome_unknown' | 'cancelled';
  result?: unknown;
  error?: { code: string; message: string };
  decision?: { kind: string; by?: string; notes?: string; at: string };
}

/** A call as reviewers see it, redacted, and what became of the latest decisions. */
export interface State {
  id: string;
  tool: string;
  args?: unknown;
  status: Outcome['status'] | 'evaluating' | 'pending' | 'approved' | 'executing';
  digest?: string;
  risk?: string;
  agent?: string;
  reason?: string;
  deadline?: string;
  answers?: { decision_id: string; outcome: string; message?: string }[];
}

/**
 * Runs main with a client as TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and so on say
 * (default localhost:7233). What it returns is the process's exit code; what it
 * throws is told, and is 1.
 */
export async function connected(main: (client: Client) => Promise<number>): Promise<void> {
  let connection: Connection | undefined;
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig();
    connection = await Connection.connect(connectionOptions);
    process.exitCode = await main(new Client({ connection, ...(namespace ? { namespace } : {}), ...encryption() }));
  } catch (err) {
    console.error(display(err instanceof Error ? err.message : String(err)));
    process.exitCode = 1;
  } finally {
    await connection?.close();
  }
}

/**
 * Starts a call, or finds the one that was started under the same ID before: an
 * agent that comes back after a crash asks again and gets the same call. It
 * throws if the ID belongs to another call.
 */
export async function start(client: Client, id: string, call: Call): Promise<WorkflowHandle> {
  const sent: unknown = JSON.parse(JSON.stringify(call)); // without undefined, and with dates as text
  const fingerprint = createHash('sha256').update(canonical(sent)).digest('hex');
  try {
    return await client.workflow.start('GuardedCall', {
      taskQueue: 'pawl',
      workflowId: id,
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      memo: { [fingerprintMemo]: fingerprint },
      // Secret and random: without it, redacted arguments could be guessed from the digest.
      args: [{ ...call, nonce: randomBytes(16).toString('hex') }],
    });
  } catch (err) {
    if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
  }
  const handle = client.workflow.getHandle(id);
  const { memo } = await handle.describe();
  if (memo?.[fingerprintMemo] !== fingerprint) throw new Error(`${id} is another call; give this one an ID of its own`);
  return handle;
}

/** Sends a decision about exactly the call that was shown, and returns what it did. */
export async function decide(
  handle: WorkflowHandle,
  shown: State,
  kind: 'approve' | 'reject',
  by: { reviewer: string; notes?: string },
): Promise<string> {
  const decisionId = randomUUID();
  try {
    await handle.signal(kind, { decision_id: decisionId, digest: shown.digest, ...by });
  } catch (err) {
    if (err instanceof WorkflowNotFoundError) return 'already_resolved'; // it was shown, so it has ended
    throw err;
  }
  // Temporal holds the decision now, even if no worker runs; this only asks what it did.
  const { answers } = await handle.query<State>('state');
  return answers?.find((a) => a.decision_id === decisionId)?.outcome ?? 'not_judged_yet';
}

/** RFC 8785 canonical JSON: equal texts mean equal values. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)); // by UTF-16, as JavaScript compares
  return `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join()}}`;
}

/** Text that others wrote, on one line and without anything that a terminal would obey. */
export function display(value: unknown): string {
  const hex = (c: string) => `\\u{${c.codePointAt(0)?.toString(16)}}`;
  return (typeof value === 'string' ? value : JSON.stringify(value) ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, hex);
}
