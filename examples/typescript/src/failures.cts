// Errors' texts and stack traces go to Temporal encoded, and so encrypted.
// Temporal's SDK loads this file by its name.
import { DefaultFailureConverter } from '@temporalio/common';

export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
