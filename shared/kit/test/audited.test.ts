import t from 'tap'
import {
  type AuditActions,
  createAuditor,
  type Deed,
  type DeedEnd,
  idsIn,
  linkerList,
  type Route,
  raw,
  route,
  sdes,
  Type
} from '../src/index.js'
import { guardWith, memoryLog, newKey, post, startApp, tokenFor } from './support.js'

const key = newKey('k1')
const headers = { 'x-auth-token': tokenFor(key) }
const save = route({
  method: 'post',
  path: '/v1/jobs/:jobId',
  summary: 'Test',
  needs: 'device.view',
  params: Type.Object({ jobId: Type.Integer() }),
  body: Type.Object({ name: Type.String(), password: Type.Optional(Type.String()) }),
  handle: ({ body }) => {
    if (body.name === 'bug') throw new Error('bug')
    return { id: 7, text: 'told to nobody' }
  }
})
const open = route({ method: 'post', path: '/v1/open', summary: 'Test', needs: 'public', handle: () => 'fine' })

/** Where records go in these tests: a list, in the order of what happened. */
function listOf(refuses = false) {
  const seen: (Deed | DeedEnd)[] = []
  const auditor = createAuditor(
    {
      async begin(deed) {
        if (refuses) throw new Error('the database is away')
        seen.push(deed)
        return async (end) => void seen.push(end)
      }
    },
    memoryLog()
  )
  return { seen, auditor }
}

async function start(t: Tap, routes: Route[], actions: AuditActions, refuses = false) {
  const { seen, auditor } = listOf(refuses)
  const guard = await guardWith(key)
  const { url } = await startApp(t, { guard, apis: [{ dialect: sdes, routes }], audit: { auditor, actions } })
  return { url, seen }
}
type Tap = Parameters<typeof startApp>[0]

t.test(
  'a change is on record before it begins, with what its path, body and answer name and nothing else',
  async (t) => {
    const { url, seen } = await start(t, [save, open], { 'post /v1/jobs/:jobId': 'job.save' })
    const sent = { name: 'Prices', password: 'pw', inner: { name: 'deep', values: [1] } }
    t.equal((await post(`${url}/v1/jobs/5`, JSON.stringify(sent), headers)).status, 200)
    const [deed, end] = seen
    t.match(deed, {
      action: 'job.save',
      tenantId: 'default',
      userId: 'u1',
      email: 'a@example.org',
      targets: ['5', 'Prices', 'deep']
    })
    t.same(end, { result: 'succeeded', targets: ['5', 'Prices', 'deep', '7'] })
    t.notMatch(JSON.stringify(seen), /pw|told to nobody/)
  }
)

t.test('what fails says so, and what is refused at the door or comes from strangers leaves none', async (t) => {
  const { url, seen } = await start(t, [save, open], { 'post /v1/jobs/:jobId': 'job.save' })
  await post(`${url}/v1/open`, '{}')
  await post(`${url}/v1/jobs/5`, '{}', headers)
  await post(`${url}/v1/jobs/5`, '{"name":"x"}')
  t.same(seen, [])
  t.equal((await post(`${url}/v1/jobs/5`, '{"name":"bug"}', headers)).status, 500)
  t.match(seen, [{ action: 'job.save' }, { result: 'failed', error: 'internal' }])
})

t.test('what cannot be put on record does not happen', async (t) => {
  let isDone = false
  const change = route({
    ...save,
    params: undefined,
    path: '/v1/jobs',
    method: 'put',
    handle: () => {
      isDone = true
    }
  } as never)
  const { url } = await start(t, [change], { 'put /v1/jobs': 'job.update' }, true)
  const answer = await fetch(`${url}/v1/jobs`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/json' },
    body: '{"name":"x"}'
  })
  t.equal(answer.status, 500)
  t.notOk(isDone)
})

t.test('a route that nobody has named does not start, nor does a name without a route', async (t) => {
  await t.rejects(start(t, [save], {}), { message: /without an audit action: post \/v1\/jobs\/:jobId/ })
  const named = { 'post /v1/jobs/:jobId': null, 'post /v1/gone': 'gone' }
  await t.rejects(start(t, [save], named), { message: /without a route: post \/v1\/gone/ })
})

t.test('ids are found in answers of every form, and streams are left alone', async (t) => {
  t.same(idsIn(linkerList([{ _id: 'a', hosts: [{ host_id: 'b', private_key: 'no' }] }], 1)), ['a', 'b'])
  t.same(idsIn(raw({ body: { id: 'inside' } })), [])
  t.same(idsIn({ jobIds: [1, 2], access_key: 'user', secret_key: 'no', token: 'no', valid: true }), ['1', '2', 'user'])
  t.same(idsIn({ a: { b: { c: { d: { id: 'too deep' } } } } }), [])
})
