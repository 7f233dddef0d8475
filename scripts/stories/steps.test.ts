/** Every verb that moves files, over the whole product: a SERVER, some STOREs, and the files over the API. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { createMachine, type Machine, waitOnline } from '../src/demo/machines.js'

t.setTimeout(240_000)

interface Log {
  list: { status: string; message: string | null }[]
}

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function startMachines<N extends string>(roles: Record<N, Machine['role']>): Promise<Record<N, Machine>> {
  const folder = temporaryFolder(t)
  const machines: [string, Machine][] = []
  for (const [name, role] of Object.entries<Machine['role']>(roles)) {
    const plan = { name: `demo-${name}`, role, folder: join(folder, name), mqttUrl: stack.mqttUrl }
    mkdirSync(plan.folder, { recursive: true })
    const machine = await createMachine({ session, tenantId: 'default' }, plan)
    machine.start()
    t.teardown(() => machine.stop())
    machines.push([name, machine])
  }
  await waitOnline(
    session,
    machines.map(([, machine]) => machine)
  )
  return Object.fromEntries(machines) as Record<N, Machine>
}

const stack = await startStackFor(t, { services: ['auth', 'scheduler', 'broker-proxy', 'gateway'] })
await stack.api.register()
const session = stack.api.as(await stack.api.login())
const roles = { server: 'SERVER', one: 'STORE', two: 'STORE', three: 'STORE' } as const
const all = await startMachines(roles)

/** A job with one task of these steps, run once; answers how to look at it. */
async function runSteps(steps: object[], machines: Machine[]) {
  const { taskId } = (await session.post<{ taskId: number }>('/v1/tasks', { taskName: 'files' })).body
  const inOrder = steps.map((step, order) => ({ ...step, order }))
  const saved = await session.post(`/v1/tasks/${taskId}/scripts`, inOrder)
  if (saved.status !== 200) throw new Error(`steps not saved: ${saved.text}`)
  const { jobId } = (await session.post<{ jobId: number }>('/v1/jobs', { jobName: 'files' })).body
  await session.put(`/v1/jobs/${jobId}/tasks`, [taskId])
  await session.put(
    `/v1/jobs/${jobId}/clients`,
    machines.map(({ clientId }) => clientId)
  )
  const runId = (await session.get(`/v1/jobs/${jobId}/run`)).headers.get('x-run-id') ?? ''
  const rows = async () =>
    (await session.get<Log>(`/v1/logs/jobs/clients?jobId=${jobId}&pageNo=1&pageSize=10`)).body.list
  const ended = () =>
    until(
      async () => {
        const list = await rows()
        const isOver = list.every(({ status }) => status === 'SUCCESS' || status === 'FAILED')
        return list.length === machines.length && isOver ? list : undefined
      },
      { what: 'the end of the run', deadlineMs: 90_000, everyMs: 200 }
    )
  return { jobId, runId, ended }
}

t.test('folders go out, results come back, and everybody finds them', async (t) => {
  const { server, one: store } = all
  const result = randomBytes(700_000)
  mkdirSync(join(server.root, 'release/sub'), { recursive: true })
  writeFileSync(join(server.root, 'release/a.txt'), 'a')
  writeFileSync(join(server.root, 'release/sub/b.txt'), 'b')
  writeFileSync(join(store.root, 'day.bin'), result)
  writeFileSync(join(store.root, 'old.log'), 'old')

  const steps = [
    { type: 'SEND_FILE', filePath: 'release', targetFilePath: 'in', createFilePath: true },
    { type: 'COPY_FILE', filePath: 'in/*.txt', targetFilePath: 'copy/', createFilePath: true },
    { type: 'WAIT_FLAG_FILE', filePath: 'copy/a.txt', timeout: 30, block: false },
    { type: 'UPLOAD_TO_SERVER', filePath: 'day.bin', targetFilePath: 'results/day-of-store.bin' },
    { type: 'RECV_FILE', filePath: 'day.bin', targetFilePath: 'from/{clientId}/', createFilePath: true },
    { type: 'DELETE_FILE', filePath: '*.log' }
  ]
  const [row] = await (await runSteps(steps, [store])).ended()
  t.match(row, { status: 'SUCCESS' }, JSON.stringify(row))
  t.equal(readFileSync(join(store.root, 'in/sub/b.txt'), 'utf8'), 'b')
  t.equal(readFileSync(join(store.root, 'copy/a.txt'), 'utf8'), 'a')
  t.notOk(existsSync(join(store.root, 'copy/sub')), 'a pattern takes files only')
  t.ok(readFileSync(join(server.root, 'from/demo-one/day.bin')).equals(result), 'the SERVER has what the STORE made')
  t.notOk(existsSync(join(store.root, 'old.log')))

  const found = await session.get('/v1/files?fileNameContain=day-of-store')
  t.match(found.body, { total: 1, list: [{ sha256: sha(result), size: result.length }] })
  const part = await session.get(`/v1/files/${sha(result)}`, { range: 'bytes=699990-' })
  t.match(part, { status: 206 })
  t.equal(part.headers.get('content-range'), 'bytes 699990-699999/700000', 'in parts, through the gateway')
})

t.test('a file goes out once for all machines, and a cancel ends the long program after it', async (t) => {
  const { server, ...stores } = all
  const machines = Object.values(stores)
  const content = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(1_000_000, 'lines of text\n')])
  writeFileSync(join(server.root, 'image.bin'), content)
  for (const { root } of machines) {
    const program = ['#!/bin/sh', 'trap "" HUP', `echo $$ > ${root}/pid`, 'exec sleep 600', '']
    writeFileSync(join(root, 'bin/long'), program.join('\n'), { mode: 0o755 })
  }
  const steps = [
    { type: 'BROADCAST', filePath: 'image.bin', targetFilePath: 'image.bin', transferOption: { compress: true } },
    { type: 'EXECUTE_FILE', filePath: 'bin/long' },
    { type: 'DELETE_FILE', filePath: 'image.bin' }
  ]
  const run = await runSteps(steps, machines)
  const pids = await until(
    () => {
      const found = machines.map(({ root }) => Number(readFileSync(join(root, 'pid'), 'utf8')))
      return found.every((pid) => pid > 0) ? found : undefined
    },
    { what: 'the programs', deadlineMs: 90_000 }
  )
  for (const { root } of machines) t.ok(readFileSync(join(root, 'image.bin')).equals(content))
  const casts = stack
    .output()
    .split('\n')
    .filter((line) => line.includes('content cast'))
  t.match(casts, [/"blocks":16/], 'one cast for all')

  const cancelled = await session.put(`/v1/jobs/${run.jobId}/runs/${run.runId}/cancel`)
  t.equal(cancelled.status, 200, cancelled.text)
  const rows = await run.ended()
  for (const row of rows) t.match(row, { status: 'FAILED', message: /the run was cancelled/ })
  for (const pid of pids) t.notOk(existsSync(`/proc/${pid}`), 'the program is gone')
  for (const { root } of machines) t.ok(existsSync(join(root, 'image.bin')), 'what came after it was not done')
})

t.test('files of the central store go out though no SERVER machine is there', async (t) => {
  const { server, one, two } = all
  await server.stop()
  const release = randomBytes(600_000)
  const upload = await session.send('POST', '/v1/files?fileName=release.bin', release)
  t.equal(upload.status, 200, upload.text)
  const day = readFileSync(join(one.root, 'day.bin'))
  const steps = [
    { type: 'SEND_FILE', filePath: 'store:release.bin', targetFilePath: 'stored/', createFilePath: true },
    { type: 'SEND_FILE', filePath: `store:${sha(day)}`, targetFilePath: 'by-content/', createFilePath: true },
    { type: 'BROADCAST', filePath: 'store:demo-one/day-of-store.bin', targetFilePath: 'stored/' }
  ]
  const rows = await (await runSteps(steps, [one, two])).ended()
  for (const row of rows) t.match(row, { status: 'SUCCESS' }, JSON.stringify(row))
  for (const { root } of [one, two]) {
    t.ok(readFileSync(join(root, 'stored/release.bin')).equals(release))
    t.ok(readFileSync(join(root, 'stored/day-of-store.bin')).equals(day), 'what a machine uploaded, by its name')
    t.ok(existsSync(join(root, 'by-content/day-of-store.bin')) || existsSync(join(root, 'by-content/day.bin')))
  }
  const [row] = await (await runSteps([{ ...steps[0], filePath: 'store:nothing.bin' }], [one])).ended()
  t.match(row, { status: 'FAILED', message: /the central store has no file store:nothing.bin/ })
})
