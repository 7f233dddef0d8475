import { ApiError, send } from '../api.js'
import { base } from '../ui/place.js'

/** Runs a job now and goes to the run. */
export async function runJob(jobId: number, route: (url: string) => void): Promise<void> {
  const response = await send(`/v1/jobs/${jobId}/run`)
  if (!response.ok) {
    const { message } = (await response.json()) as { message: string }
    throw new ApiError(response.status, message)
  }
  route(`${base}/runs/${jobId}/${response.headers.get('x-run-id')}`)
}
