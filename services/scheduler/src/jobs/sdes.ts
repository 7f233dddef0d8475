import { type Route, route, type Static, sdesRange, toSdesPage } from '@fleetgate/kit'
import { Done, Success } from '../sdesFields.js'
import type { Settings } from '../settings/settings.js'
import type { JobFilter } from './jobStore.js'
import type { Jobs } from './jobs.js'
import {
  Change,
  Details,
  Draft,
  JobById,
  JobPage,
  JobQuery,
  Row,
  toChange,
  toDetails,
  toDraft,
  toFilter,
  toRow
} from './sdesShapes.js'

export function jobRoutes(jobs: Jobs, settings: Settings): Route[] {
  const setEnabled = (word: 'enable' | 'disable') =>
    route({
      method: 'put',
      path: `/v1/jobs/:jobId/${word}`,
      summary: word === 'enable' ? 'Allow a job to be run' : 'Keep a job from being run; open runs go on',
      needs: 'job.edit',
      params: JobById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await jobs.change(caller.tenantId, params.jobId, { enabled: word === 'enable' })
        return 'success'
      }
    })

  return [
    route({
      method: 'get',
      path: '/v1/jobs',
      summary: 'List jobs',
      needs: 'job.view',
      query: JobQuery,
      reply: JobPage,
      handle: ({ query, caller }) => listJobs(jobs, { tenantId: caller.tenantId }, query)
    }),
    route({
      method: 'post',
      path: '/v1/jobs',
      summary: 'Create a job',
      needs: 'job.edit',
      body: Draft,
      reply: Row,
      handle: async ({ body, caller }) => {
        const job = await jobs.register(caller.tenantId, toDraft(body, await settings.get(caller.tenantId, 'jobs')))
        return { ...toRow(job), executionTime: job.executionTime }
      }
    }),
    route({
      method: 'put',
      path: '/v1/jobs',
      summary: 'Change a job',
      needs: 'job.edit',
      body: Change,
      reply: Done,
      handle: async ({ body, caller }) => {
        const stored = await jobs.get(caller.tenantId, body.jobId)
        await jobs.change(caller.tenantId, body.jobId, toChange(body, stored))
        return { desc: 'success' }
      }
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:jobId/details',
      summary: 'Read one job',
      needs: 'job.view',
      params: JobById,
      reply: Details,
      handle: async ({ params, caller }) => toDetails(await jobs.get(caller.tenantId, params.jobId))
    }),
    route({
      method: 'delete',
      path: '/v1/jobs/:jobId',
      summary: 'Delete a job; open runs end, logs stay',
      needs: 'job.edit',
      params: JobById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await jobs.retire(caller.tenantId, params.jobId)
        return 'success'
      }
    }),
    setEnabled('enable'),
    setEnabled('disable')
  ]
}

export async function listJobs(
  jobs: Jobs,
  scope: Pick<JobFilter, 'tenantId' | 'boundTo'>,
  query: Static<typeof JobQuery>
): Promise<Static<typeof JobPage>> {
  const found = await jobs.list({ ...toFilter(scope.tenantId, query), ...scope }, sdesRange(query))
  return toSdesPage({ ...found, items: found.items.map((job) => toRow(job)) })
}
