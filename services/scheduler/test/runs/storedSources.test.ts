import { AppError, findStoredFile, parseStorePath, type StoredFileFacts } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, programStep, startFleet, startReplica } from '../support.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

t.test('paths of the central store', async (t) => {
  const sha256 = 'aB'.repeat(32)
  t.strictSame(parseStorePath(`store:${sha256}`), { sha256: sha256.toLowerCase() })
  t.strictSame(parseStorePath('store:till 2.zip'), { fileName: 'till 2.zip' })
  t.strictSame(parseStorePath('store:till-7/day.csv'), { clientId: 'till-7', fileName: 'day.csv' })
  for (const path of ['store:', 'store:/', 'store:/x', 'store:a/', `store:${'x'.repeat(241)}`, '/store:x', 'till.zip'])
    t.equal(parseStorePath(path), undefined, path)
})

t.test('a file of the central store', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'stored' })
  const sha = (letter: string) => letter.repeat(64)
  /** By tenant and what was asked for. */
  const stored = new Map<string, StoredFileFacts>()
  let isAway = false
  const put = (tenantId: string, fileName: string, letter: string) => {
    const file = { sha256: sha(letter), size: 3, fileName }
    for (const name of [fileName, file.sha256]) stored.set(`${tenantId}/${name}`, file)
  }
  await fleet.bus.serve(findStoredFile, async ({ tenantId, wanted: { sha256, fileName = '', clientId } }) => {
    if (isAway) throw new AppError('unavailable', 'the store is away')
    const file = stored.get(`${tenantId}/${sha256 ?? (clientId ? `${clientId}/${fileName}` : fileName)}`)
    return file ? { file } : {}
  })
  t.beforeEach(() => {
    fleet.received = []
    fleet.staged = []
    isAway = false
  })

  async function prepare(steps: object[], put: (tenantId: string) => void = () => undefined) {
    const tenantId = newTenant()
    put(tenantId)
    const api = replica.as({ tenantId })
    const clients = [`one-${tenantId}`, `two-${tenantId}`]
    await fleet.connect(tenantId, clients)
    const isOnline = async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === 2
    await until(isOnline, { what: 'the machines' })
    const job = await makeJob(api, { clients, steps })
    const run = () => api.get(`/v1/jobs/${job.jobId}/run`)
    const row = async () => (await api.get<Json>(`/v1/logs/jobs?jobId=${job.jobId}`)).body.list[0]
    const ended = () =>
      until(async () => ['SUCCESS', 'FAILED'].includes((await row())?.status) && row(), { what: 'the end' })
    return { tenantId, api, run, row, ended, ...job }
  }
  const send = (filePath: string, type = 'SEND_FILE') => ({ type, filePath, targetFilePath: 'in/' })

  t.test('is sent without a SERVER machine, and is called at machines what it is called there', async (t) => {
    const steps = [
      send('store:till.zip'),
      send(`store:${sha('b').toUpperCase()}`, 'BROADCAST'),
      { type: 'IF', conditions: [{ type: 'GET_FILE_STATUS', filePath: 'x' }], true: [send('store:till-7/day.csv')] }
    ].map((step, order) => ({ ...step, order }))
    const job = await prepare(steps, (tenantId) => {
      put(tenantId, 'till.zip', 'a')
      put(tenantId, 'image', 'b')
      put(tenantId, 'till-7/day.csv', 'c')
    })
    await job.run()
    t.match(await job.ended(), { status: 'SUCCESS' })
    t.strictSame(fleet.staged, [], 'no machine was asked')
    const [command] = fleet.received
    const [first, second, , , third] = job.scriptIds.map(String) as [string, string, string, string, string]
    t.strictSame(command?.sources[first], { files: [{ path: '', sha256: sha('a'), size: 3 }] })
    t.match(command?.sources[second], { files: [{ sha256: sha('b') }], castId: String })
    t.match(command?.sources[third], { files: [{ sha256: sha('c') }] })
    const [one, two, three] = command?.tasks[0]?.scripts ?? []
    t.match([one?.filePath, two?.filePath], ['till.zip', 'image'])
    t.match(three, { conditions: [{ filePath: 'x' }], true: [{ filePath: 'till-7/day.csv' }] })
    const of = `jobId=${job.jobId}&clientId=${job.clientIds[0]}&taskId=${job.taskId}`
    const log = (await job.api.get<Json>(`/v1/logs/jobs/clients/tasks/scripts?${of}`)).body
    t.match(JSON.stringify(log), /"filePath":"store:till.zip"/, 'logs show what the step names')
  })

  t.test('is the one that was there when the run was opened, whatever is stored later', async (t) => {
    const job = await prepare([send('store:till.zip')], (tenantId) => put(tenantId, 'till.zip', 'a'))
    fleet.onExecution = () => undefined
    await job.run()
    await until(() => fleet.received.length >= 2, { what: 'the commands' })
    put(job.tenantId, 'till.zip', 'd')
    await until(() => fleet.received.length >= 4, { what: 'the commands once more' })
    for (const { sources } of fleet.received) t.match(Object.values(sources), [{ files: [{ sha256: sha('a') }] }])
    fleet.onExecution = (command) => fleet.succeed(command)
    t.match(await job.ended(), { status: 'SUCCESS' })
  })

  t.test('that is not there, or is another tenant’s, fails its step with the reason', async (t) => {
    put('other', 'secret.zip', 'e')
    fleet.onExecution = (command) => fleet.succeed(command)
    const job = await prepare([send('store:secret.zip')])
    await job.run()
    await job.ended()
    const [source] = Object.values(fleet.received[0]?.sources ?? {})
    t.strictSame(source, { error: 'the central store has no file store:secret.zip' })
    t.strictSame(fleet.staged, [])
  })

  t.test('is waited for while the store does not answer, and the log says so', async (t) => {
    const job = await prepare([send('store:till.zip')], (tenantId) => put(tenantId, 'till.zip', 'a'))
    isAway = true
    await job.run()
    const reason = 'waiting for the central store to find store:till.zip'
    await until(async () => (await job.row())?.reason === reason, { what: 'the reason' })
    t.strictSame(fleet.received, [])
    isAway = false
    t.match(await job.ended(), { status: 'SUCCESS' })
  })

  t.test('is refused at once where a step cannot mean it', async (t) => {
    const job = await prepare([programStep])
    const save = (steps: object[]) => job.api.post<Json>(`/v1/tasks/${job.taskId}/scripts`, steps)
    for (const type of ['COPY_FILE', 'RECV_FILE', 'EXECUTE_FILE', 'UPLOAD_TO_SERVER'])
      t.match(await save([send('store:x', type)]), {
        status: 400,
        body: { field: '[0].filePath', message: /only SEND_FILE and BROADCAST/ }
      })
    t.match(await save([send('store:')]), { status: 400, body: { field: '[0].filePath', message: /store:<sha256>/ } })
    const unknown = [
      { type: 'IF', conditions: [{ type: 'GET_FILE_STATUS', filePath: 'x' }], false: [send(`store:${sha('f')}`)] }
    ]
    t.match(await save(unknown), { status: 400, body: { field: 'filePath', message: /no such file/ } })
    t.match((await job.api.get<Json>(`/v1/tasks/${job.taskId}/scripts`)).body.scripts, [{ type: 'EXECUTE_FILE' }])
    isAway = true
    t.match(await save(unknown), { status: 200 }, 'nobody waits for the store to save a task')
    isAway = false
    t.match(await save(unknown), { status: 200 }, 'what the task has may be gone')
    t.match(await save([send('store:not yet there.zip')]), { status: 200 }, 'a name may be given later')
  })
})
