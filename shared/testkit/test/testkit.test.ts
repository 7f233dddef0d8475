import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGuard } from '@fleetgate/kit'
import t from 'tap'
import { createApi, quietLog, testGuardKeys, until } from '../src/index.js'

t.test('until answers what it waited for, and tells at the deadline what it was and why', async (t) => {
  let looks = 0
  t.equal(await until(() => (++looks > 2 ? 'there' : undefined), { what: 'it' }), 'there')
  const broken = new Error('broken')
  const never = until(() => Promise.reject(broken), { what: 'the impossible', deadlineMs: 20 })
  await t.rejects(never, { message: /20 ms .* the impossible/, cause: broken })
})

t.test('its tokens are good for the guard of the kit, and for no other keys', async (t) => {
  const own = testGuardKeys()
  const guard = await createGuard({ log: quietLog, keys: async () => own.keys })
  t.teardown(() => guard.close())
  const caller = { userId: '7', tenantId: 't2', email: 'a@example.com', nickname: 'a', version: 3 }
  const bearer = (token: string) => guard.verify({ bearer: token }, '127.0.0.1')
  t.match(await bearer(own.token()), { tenantId: 't1', isSuperAdmin: true })
  const found = await bearer(own.token({ ...caller, codes: ['job.view'] }))
  t.match(found, { ...caller, isSuperAdmin: false })
  t.same([...found.codes], ['job.view'])
  await t.rejects(bearer(own.token({ expiresIn: -60 })), { code: 'token_expired' })
  await t.rejects(bearer(testGuardKeys().token()), { code: 'unauthenticated' })
})

t.test('the client sends JSON and forms as each caller, and reads any answer', async (t) => {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (data) => {
      body += data
    })
    const { method, url, headers } = request
    request.on('end', () => response.end(JSON.stringify({ method, url, headers, body })))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const api = createApi(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.match((await api.as('x').post('/a?b=1', { c: 2 })).body, {
    method: 'POST',
    url: '/a?b=1',
    headers: { authorization: 'Bearer x', 'content-type': 'application/json' },
    body: '{"c":2}'
  })
  t.match((await api.asBasic('u', 'p').put('/', new URLSearchParams({ d: '3' }))).body, {
    headers: { authorization: `Basic ${btoa('u:p')}`, 'content-type': /^application\/x-www-form-urlencoded/ },
    body: 'd=3'
  })
  t.match((await api.send('PATCH', '/', '{"broken')).body, { method: 'PATCH', body: '{"broken' })
  await t.rejects(api.login(), { message: /no token for admin@example\.com: HTTP 200/ })
})
