/** Whose address counts where the gateway stands behind a proxy: at the limit of log-ins and in the audit. */
import { startStackFor } from '@fleetgate/testkit'
import t from 'tap'

const { api } = await startStackFor(t, {
  services: ['auth', 'gateway'],
  env: { TRUSTED_PROXY_HOPS: '1', LOGIN_FREE_PER_ADDRESS: '3', LOGIN_FREE_PER_ACCOUNT: '1000' }
})
await api.register()
const token = await api.login()

/** As the proxy writes it: its last word is the address that it saw, what stands before it the client's invention. */
const seenAt = (address: string, invented: string) => ({ 'x-forwarded-for': `${invented}, ${address}` })

t.test('log-ins are limited at the address that the trusted proxy saw', async (t) => {
  const logIn = async (address: string, n: number) => {
    const form = { grant_type: 'password', username: `nobody${n}@example.com`, password: 'a wrong one' }
    const client = { client_id: 'iab', client_secret: 'milesight*iab' }
    const reply = await api.post('/oauth2/token', { ...form, ...client }, seenAt(address, `198.51.100.${n}`))
    return reply.status
  }
  const statuses = await Promise.all(Array.from({ length: 16 }, (_, n) => logIn('203.0.113.1', n)))
  t.ok(statuses.includes(429), `an invented address is no new one: ${statuses}`)
  t.ok(statuses.filter((status) => status === 401).length >= 3, 'the free attempts are tried')
  t.equal(await logIn('203.0.113.2', 1), 401, 'others go on')
})

t.test('the audit keeps the address that the trusted proxy saw', async (t) => {
  const admin = api.as(token)
  await admin.post('/user/roles', { name: 'watched' }, seenAt('203.0.113.7', '198.51.100.1'))
  const found = await admin.post<{ data: { content: object[] } }>('/user/audit/search', { action: 'role.create' })
  t.match(found.body.data.content, [{ address: '203.0.113.7', result: 'succeeded' }])
})
