import { type Route, route, Type } from '@fleetgate/kit'
import { Id, Success } from '../sdesFields.js'
import type { RunControl } from './runControl.js'

const ByRun = Type.Object({ jobId: Id, runId: Type.String({ pattern: '^[0-9a-f]{32}$' }) })

const summaries = {
  cancel: 'Stop a run: what waits ends, machines at work may finish (ours)',
  pause: 'Give nothing more out of a run; machines at work go on (ours)',
  resume: 'Go on with a run that was paused (ours)'
} satisfies Record<keyof RunControl, string>

/** Ours: the document has no word for a run. The answers are those of its enable and disable. */
export function controlRoutes(control: RunControl): Route[] {
  return (['cancel', 'pause', 'resume'] as const).map((word) =>
    route({
      method: 'put',
      path: `/v1/jobs/:jobId/runs/:runId/${word}`,
      summary: summaries[word],
      needs: 'job.run',
      params: ByRun,
      reply: Success,
      handle: async ({ params, caller }) => {
        await control[word]({ tenantId: caller.tenantId, ...params })
        return 'success'
      }
    })
  )
}
