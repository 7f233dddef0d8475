import { ApiError, ask } from '../api.js'

/** The texts of the form. */
type Fields = Record<string, string | undefined>

function stepsOf({ sha256, target, program, arguments: text = '' }: Fields): object[] {
  if (sha256 && !target) throw new ApiError(0, 'say where the file goes on the machines')
  if (!sha256 && !program) throw new ApiError(0, 'choose a file or a program')
  const sending = {
    type: 'SEND_FILE',
    filePath: `store:${sha256}`,
    targetFilePath: target,
    overWrite: 'COMPARE_OVERWRITE'
  }
  const running = {
    type: 'EXECUTE_FILE',
    filePath: program,
    arguments: text.split(/\s+/).filter((word) => word !== '')
  }
  const steps = [
    ...(sha256 ? [{ ...sending, createFilePath: true, retryTimes: 5, retryInterval: 5 }] : []),
    ...(program ? [running] : [])
  ]
  return steps.map((step, order) => ({ ...step, order }))
}

interface Parts {
  fields: Fields
  groupIds: number[]
  clientIds: number[]
}

/** Makes a task with its steps, and a job that is bound to it and to where it runs; what is refused leaves nothing. Answers the number of the job. */
export async function makeJob(parts: Parts): Promise<number> {
  const made: string[] = []
  try {
    return await makeIn(parts, made)
  } catch (error) {
    for (const path of made.reverse()) await ask(path, { method: 'DELETE' }).catch(() => undefined)
    throw error
  }
}

/** Notes in `made` where to find what it has made. */
async function makeIn({ fields, groupIds, clientIds }: Parts, made: string[]): Promise<number> {
  const { jobName, cycle, executionTime, maxRetries, perMinute } = fields
  const steps = stepsOf(fields)
  const post = <T>(path: string, body: unknown) => ask<T>(path, { method: 'POST', body })
  const put = (path: string, ids: number[]) => (ids.length > 0 ? ask(path, { method: 'PUT', body: ids }) : undefined)
  const { taskId } = await post<{ taskId: number }>('/v1/tasks', { taskName: jobName })
  made.push(`/v1/tasks/${taskId}`)
  await post(`/v1/tasks/${taskId}/scripts`, steps)
  const rate = Number(perMinute)
  const { jobId } = await post<{ jobId: number }>('/v1/jobs', {
    jobName,
    maxRetries: Number(maxRetries),
    ...(rate > 0 ? { rollout: { perMinute: rate } } : {}),
    ...(cycle === 'now' ? {} : { cycleType: Number(cycle), executionTime })
  })
  made.push(`/v1/jobs/${jobId}`)
  await put(`/v1/jobs/${jobId}/tasks`, [taskId])
  await put(`/v1/jobs/${jobId}/groups`, groupIds)
  await put(`/v1/jobs/${jobId}/clients`, clientIds)
  return jobId
}
