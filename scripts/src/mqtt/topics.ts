import { downFilter, type Report, upTopic } from '@fleetgate/contracts/fleet'

/** Where a client's reports go, on both sides. */
export const reportTopic = (clientId: string) => upTopic(clientId, 'report')
export const reportFilter = reportTopic('+')

/** A filter of each client's own, so that there are as many routes as clients. */
export const ownFilter = downFilter

/** What all clients of a round are subscribed to. */
export const fanOutTopic = 'bench/all'

/** A report as a machine sends it of one step; of no run that the scheduler knows. */
export function reportOf(clientId: string, seq: number): string {
  const event = { seq, at: Date.now(), kind: 'STEP_STARTED', taskId: 1, scriptId: 1 } as const
  const report: Report = { executionId: `bench-${clientId}`, attempt: 1, epoch: 1, sentAt: Date.now(), events: [event] }
  return JSON.stringify(report)
}

export const fanOutPayload = JSON.stringify({ text: 'x'.repeat(200) })
