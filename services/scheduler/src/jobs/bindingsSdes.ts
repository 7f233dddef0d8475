import { AppError, type Route, raw, route } from '@fleetgate/kit'
import type { OpenRunInput } from '../runs/openRun.js'
import { JobById } from './sdesShapes.js'

type OpenRun = (input: OpenRunInput) => Promise<string>

const IdempotencyKey = /^[\x21-\x7e]{1,200}$/

export function runRoutes(openRun: OpenRun): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/jobs/:jobId/run',
      summary: 'Run a job now; a repeat gives the run that is there. The header X-Run-Id names the run',
      needs: 'job.run',
      params: JobById,
      handle: async ({ params, caller, request }) => {
        const idempotencyKey = keyOf(request.headers['idempotency-key'])
        const runId = await openRun({
          tenantId: caller.tenantId,
          jobId: params.jobId,
          idempotencyKey
        })
        const headers = {
          'content-type': 'application/json; charset=utf-8',
          'x-run-id': runId,
          'cache-control': 'no-store'
        }
        return raw({ headers, body: '"success"' })
      }
    })
  ]
}

/** A key that is none would be worse than no key: its repeat would open a second run. */
function keyOf(header: string | string[] | undefined): string | undefined {
  const key = Array.isArray(header) ? header[0] : header
  if (key === undefined || key === '') return undefined
  if (!IdempotencyKey.test(key)) {
    throw new AppError('invalid_input', 'Idempotency-Key must have 1 to 200 visible characters', {
      field: 'Idempotency-Key'
    })
  }
  return key
}
