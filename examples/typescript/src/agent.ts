// An agent that sends an invoice, through Pawl. Start it again with the same
// invoice number and it finds the same call: nothing is sent twice.
import { parseArgs } from 'node:util';
import { connected, display, start, type Outcome } from './pawl.js';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { reason: { type: 'string' } } });
const [number, customer, amount] = positionals;
if (!number || !customer || !amount || !Number.isFinite(Number(amount))) {
  console.error('usage: npm run agent -- NUMBER CUSTOMER AMOUNT [--reason TEXT]');
  process.exit(2);
}

await connected(async (client) => {
  const call = await start(client, `invoice-${number}`, {
    tool: 'send_invoice',
    args: { number, customer, amount: Number(amount) },
    agent: 'billing',
    ...(values.reason ? { reason: values.reason } : {}),
  });
  console.error(`waiting for ${call.workflowId}`);
  return tell((await call.result()) as Outcome);
});

function tell(out: Outcome): number {
  const why = display(out.error?.message);
  switch (out.status) {
    case 'executed':
      console.log(JSON.stringify(out.result));
      return 0;
    case 'rejected':
    case 'expired':
    case 'blocked':
    case 'cancelled':
      console.log(`${out.status}, nothing was sent: ${why}`);
      return 3;
    case 'failed':
      console.log(`failed, nothing was sent: ${why}`);
      return 4;
    default: // outcome_unknown, and whatever a newer Pawl may say: never taken for success
      console.log(`${display(out.status)}, look before you try again: ${why}`);
      return 4;
  }
}
