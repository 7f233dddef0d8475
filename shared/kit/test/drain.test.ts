import { Agent, get } from 'node:http'
import t from 'tap'
import { createApp, createLog, dialects, route, Type } from '../src/index.js'

const routes = [
  route({
    method: 'get',
    path: '/v1/config',
    summary: 'Answers',
    needs: 'public',
    reply: Type.Object({ ok: Type.Boolean() }),
    handle: async () => ({ ok: true })
  })
]

function ask(port: number, path: string, agent: Agent): Promise<{ status: number; connection: string | undefined }> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, connection: answer.headers.connection }))
    }).on('error', reject)
  })
}

t.test('an app that drains goes on serving, says so, and then ends', async (t) => {
  const log = createLog('test', 'silent')
  const app = createApp({ service: 'test', log, apis: [{ dialect: dialects.sdes, routes }] })
  const { port, close } = await app.listen()
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  t.match(await ask(port, '/v1/config', agent), { status: 200, connection: 'keep-alive' })
  t.match(await ask(port, '/readyz', agent), { status: 200 })

  const closing = close(2000)
  t.match(await ask(port, '/v1/config', agent), { status: 200, connection: 'close' }, 'on the connection that was idle')
  t.match(await ask(port, '/v1/config', agent), { status: 200, connection: 'close' }, 'and on a new one')
  t.match(await ask(port, '/readyz', agent), { status: 503 })
  await closing
  await t.rejects(ask(port, '/v1/config', agent), { code: 'ECONNREFUSED' })
})
