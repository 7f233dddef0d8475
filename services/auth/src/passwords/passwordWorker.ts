import { parentPort } from 'node:worker_threads'
import { compareSync, hashSync } from 'bcryptjs'
import type { PasswordAnswer, PasswordJob } from './passwordPool.js'

parentPort?.on('message', (job: PasswordJob) => {
  parentPort?.postMessage(run(job))
})

function run(job: PasswordJob): PasswordAnswer {
  try {
    return { value: job.kind === 'hash' ? hashSync(job.password, job.cost) : compareSync(job.password, job.hash) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
