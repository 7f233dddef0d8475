/** An operator names an SMTP server and an address by REST; a job fails; the mail arrives. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mailServerCertificate, startMailServer, startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { createMachine, waitOnline } from '../src/demo/machines.js'

t.setTimeout(240_000)

t.test('a job fails on a machine, and who wanted to know gets a mail', async (t) => {
  const login = { user: 'fleet@example.com', pass: 'swordfish-story' }
  const mailServer = await startMailServer(t, { login })
  const stack = await startStackFor(t, {
    services: ['auth', 'scheduler', 'broker-proxy', 'cluster-manager', 'gateway']
  })
  await stack.api.register()
  const session = stack.api.as(await stack.api.login())
  const smtp = { name: login.user, address: 'localhost', port: mailServer.port, passwd: login.pass }
  const added = await session.post('/v1/smtp', { ...smtp, ca_cert: mailServerCertificate })
  t.equal(added.status, 200, added.text)
  const told = await session.post('/v1/settings', { alertMailTo: ['ops@example.com'] })
  t.equal(told.status, 200, told.text)

  const folder = join(temporaryFolder(t), 'demo-store')
  mkdirSync(folder, { recursive: true })
  const plan = { name: 'demo-store', role: 'STORE' as const, folder, mqttUrl: stack.mqttUrl }
  const machine = await createMachine({ session, tenantId: 'default' }, plan)
  machine.start()
  t.teardown(() => machine.stop())
  await waitOnline(session, [machine])

  const { taskId } = (await session.post<{ taskId: number }>('/v1/tasks', { taskName: 'fail' })).body
  const steps = [{ type: 'COPY_FILE', order: 0, filePath: 'nothing.txt', targetFilePath: 'copy.txt', block: true }]
  await session.post(`/v1/tasks/${taskId}/scripts`, steps)
  const { jobId } = (await session.post<{ jobId: number }>('/v1/jobs', { jobName: 'fail' })).body
  await session.put(`/v1/jobs/${jobId}/tasks`, [taskId])
  await session.put(`/v1/jobs/${jobId}/clients`, [machine.clientId])
  await session.get(`/v1/jobs/${jobId}/run`)

  const mail = await until(() => mailServer.received[0], { what: 'the mail', deadlineMs: 90_000 })
  t.match(mail, { from: login.user, to: ['ops@example.com'], isEncrypted: true, username: login.user })
  t.match(mail.source, `Subject: [Fleetgate] job ${jobId} failed on 1 of 1 clients\r\n`)
  t.match(mail.source, /^see: \/v1\/logs\/jobs\/clients/m)
  const sent = async () => (await session.get<{ count: number }>('/v1/smtp/mails?count=true&state=SENT')).body.count
  await until(async () => (await sent()) === 1, { what: 'the mail in the list' })
  t.equal(mailServer.received.length, 1)
  const seen = stack.output() + (await session.get('/v1/smtp')).text + (await session.get('/v1/smtp/mails')).text
  t.notMatch(seen, 'swordfish')
})
