import { createHash, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Session } from '@fleetgate/testkit'
import { post, put } from './client.js'
import type { Machine } from './machines.js'

/** What the job distributes. */
export interface Load {
  name: string
  sha256: string
  bytes: Buffer
}

/** A random file in the SERVER's root, and on each STORE a program that proves what it got and that it ran. */
export function makeLoad(server: Machine, stores: Machine[], size: number, seconds: number): Load {
  const bytes = randomBytes(size)
  const name = 'release.bin'
  writeFileSync(join(server.root, name), bytes)
  for (const { root } of stores) {
    for (const old of ['runs.log', 'inbox']) rmSync(join(root, old), { recursive: true, force: true })
    writeFileSync(join(root, 'bin', 'install.sh'), program(seconds), { mode: 0o755 })
  }
  return { name, bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}

function program(seconds: number): string {
  const lines = ['#!/bin/sh', 'set -e', 'echo "$(date) $1" >> ../runs.log', `sleep ${seconds}`, 'sha256sum "$1"']
  return `${lines.join('\n')}\n`
}

/** One task of one job, bound to the stores and enabled; answers the numbers of job and task. */
export async function createJob(
  session: Session,
  stores: Machine[],
  load: Load
): Promise<{ jobId: number; taskId: number }> {
  const stamp = new Date().toISOString()
  const task = await post<{ taskId: number }>(session, '/v1/tasks', {
    taskName: `Install ${stamp}`,
    description: 'Send the release and install it',
    priority: 0,
    disableValidation: false,
    enabled: true
  })
  await post(session, `/v1/tasks/${task.taskId}/scripts`, scripts(load))
  const job = await post<{ jobId: number }>(session, '/v1/jobs', {
    jobName: `Demo ${stamp}`,
    description: 'Made by scripts/demo',
    enabled: false,
    maxRetries: 0,
    retryWait: 0,
    priority: 0,
    cycleType: 0,
    executionTime: ''
  })
  await put(session, `/v1/jobs/${job.jobId}/tasks`, [task.taskId])
  await put(
    session,
    `/v1/jobs/${job.jobId}/clients`,
    stores.map(({ clientId }) => clientId)
  )
  await put(session, `/v1/jobs/${job.jobId}/enable`, {})
  return { jobId: job.jobId, taskId: task.taskId }
}

function scripts({ name }: Load): object[] {
  const patience = { block: true, retryTimes: 5, retryInterval: 2 }
  return [
    {
      type: 'SEND_FILE',
      order: 0,
      filePath: name,
      targetFilePath: 'inbox/',
      createFilePath: true,
      overWrite: 'COMPARE_OVERWRITE',
      ...patience
    },
    {
      type: 'IF',
      order: 1,
      block: true,
      conditions: [{ type: 'GET_FILE_STATUS', order: 0, filePath: `inbox/${name}`, block: true }],
      // No retries here: a program that ran must not run again.
      true: [
        {
          type: 'EXECUTE_FILE',
          order: 0,
          filePath: 'bin/install.sh',
          arguments: [`../inbox/${name}`],
          block: true,
          timeout: 120
        }
      ],
      false: []
    }
  ]
}
