// Shows one call and asks. The decision goes to Temporal as a signal, for
// exactly the call that was shown.
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { connected, decide, display, type State } from './pawl.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { as: { type: 'string' }, notes: { type: 'string' } },
});
const [id] = positionals;
const reviewer = values.as;
if (!id || !reviewer) {
  console.error('usage: npm run approve -- ID --as NAME [--notes TEXT]');
  process.exit(2);
}

await connected(async (client) => {
  const handle = client.workflow.getHandle(id);
  const shown = await handle.query<State>('state');
  for (const field of ['tool', 'args', 'status', 'risk', 'agent', 'reason', 'deadline', 'digest'] as const) {
    if (shown[field] !== undefined) console.log(`${field.padEnd(9)} ${display(shown[field])}`);
  }
  if (shown.status !== 'pending') {
    console.log('it does not wait for a decision');
    return 3;
  }
  const kind = await ask();
  if (kind === undefined) {
    console.log('left as it is');
    return 0;
  }
  const answer = await decide(handle, shown, kind, { reviewer, ...(values.notes ? { notes: values.notes } : {}) });
  console.log(`${kind}: ${display(answer)}`);
  return ['resolved', 'recorded', 'not_judged_yet'].includes(answer) ? 0 : 3;
});

async function ask(): Promise<'approve' | 'reject' | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  terminal.setPrompt('y approves, n rejects, anything else leaves it: ');
  terminal.prompt();
  try {
    for await (const line of terminal) {
      const answer = line.trim().toLowerCase();
      return answer === 'y' ? 'approve' : answer === 'n' ? 'reject' : undefined;
    }
    return undefined; // the input ended
  } finally {
    terminal.close();
  }
}
