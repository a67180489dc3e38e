// A worker that offers one tool. It runs no workflows: Pawl's worker does.
import { mkdirSync } from 'node:fs';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection, Worker } from '@temporalio/worker';
import { encryption } from './codec.js';
import { guarded } from './guarded.js';
import { sendInvoice } from './invoices.js';

const outbox = process.env['OUTBOX'] ?? 'outbox';
mkdirSync(outbox, { recursive: true });

const { connectionOptions, namespace } = loadClientConnectConfig();
const connection = await NativeConnection.connect(connectionOptions);
try {
  const worker = await Worker.create({
    connection,
    ...encryption(), // as Pawl's workers encrypt, by PAWL_PAYLOAD_KEYS
    namespace: namespace ?? 'default',
    taskQueue: 'tools-typescript', // as in tools.yaml
    activities: { send_invoice: sendInvoice(outbox) }, // the activity's name is the tool's
    interceptors: { activity: [guarded] },
    shutdownGraceTime: '10s', // after Ctrl-C, for what runs
  });
  await worker.run();
} finally {
  await connection.close();
}
