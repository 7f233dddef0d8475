/** Every verb that moves files, over the whole product: a SERVER and a STORE, one job, and the files over the API. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Session, startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { createMachine, type Machine, waitOnline } from '../src/demo/machines.js'

t.setTimeout(240_000)

interface Log {
  list: { status: string; message: string | null }[]
}

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function startMachines(session: Session, mqttUrl: string): Promise<{ server: Machine; store: Machine }> {
  const folder = temporaryFolder(t)
  const make = async (name: string, role: Machine['role']) => {
    mkdirSync(join(folder, name), { recursive: true })
    const plan = { name, role, folder: join(folder, name), mqttUrl }
    const machine = await createMachine({ session, tenantId: 'default' }, plan)
    machine.start()
    t.teardown(() => machine.stop())
    return machine
  }
  const machines = { server: await make('demo-server', 'SERVER'), store: await make('demo-store', 'STORE') }
  await waitOnline(session, Object.values(machines))
  return machines
}

t.test('folders go out, results come back, and everybody finds them', async (t) => {
  const stack = await startStackFor(t)
  await stack.api.register()
  const session = stack.api.as(await stack.api.login())
  const { server, store } = await startMachines(session, stack.mqttUrl)
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
  const { taskId } = (await session.post<{ taskId: number }>('/v1/tasks', { taskName: 'files' })).body
  const saved = await session.post(
    `/v1/tasks/${taskId}/scripts`,
    steps.map((step, order) => ({ ...step, order }))
  )
  t.equal(saved.status, 200, saved.text)
  const { jobId } = (await session.post<{ jobId: number }>('/v1/jobs', { jobName: 'files' })).body
  await session.put(`/v1/jobs/${jobId}/tasks`, [taskId])
  await session.put(`/v1/jobs/${jobId}/clients`, [store.clientId])
  await session.get(`/v1/jobs/${jobId}/run`)
  const row = await until(
    async () => {
      const { list } = (await session.get<Log>(`/v1/logs/jobs/clients?jobId=${jobId}&pageNo=1&pageSize=10`)).body
      return list.find(({ status }) => status === 'SUCCESS' || status === 'FAILED')
    },
    { what: 'the end of the run', deadlineMs: 90_000, everyMs: 200 }
  )
  t.match(row, { status: 'SUCCESS' }, JSON.stringify(row))
  t.equal(readFileSync(join(store.root, 'in/sub/b.txt'), 'utf8'), 'b')
  t.equal(readFileSync(join(store.root, 'copy/a.txt'), 'utf8'), 'a')
  t.notOk(existsSync(join(store.root, 'copy/sub')), 'a pattern takes files only')
  t.ok(readFileSync(join(server.root, 'from/demo-store/day.bin')).equals(result), 'the SERVER has what the STORE made')
  t.notOk(existsSync(join(store.root, 'old.log')))

  const found = await session.get('/v1/files?fileNameContain=day-of-store')
  t.match(found.body, { total: 1, list: [{ sha256: sha(result), size: result.length }] })
  const part = await session.get(`/v1/files/${sha(result)}`, { range: 'bytes=699990-' })
  t.match(part, { status: 206 })
  t.equal(part.headers.get('content-range'), 'bytes 699990-699999/700000', 'in parts, through the gateway')
})
